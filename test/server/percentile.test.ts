import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { encodePng, type Picture } from "../../src/data/images.ts";
import type { ClassificationBody } from "../../src/server/schemas.ts";
import { noise } from "../support/pictures.ts";
import { form, mnist, startServer, type TestedServer } from "../support/serving.ts";

const count = 12;
// Of one size: what the library says of them in one call is what the server says in whatever batches.
const pictures: readonly Picture[] = Array.from({ length: count }, (_, i) => noise(i, 20, 20, 1));
const pixels = Uint8Array.from(pictures.flatMap((picture) => [...picture.pixels]));
const images = { pixels, count, height: 20, width: 20, channels: 1 };
const percentiles = [0.5, 1, 2, 5, 10];
let server: TestedServer;
let classifier: Classifier;
let files: (readonly [string, Uint8Array])[];

beforeAll(async () => {
  server = await startServer();
  classifier = await Classifier.load(mnist.path, { threads: 1 });
  files = await Promise.all(pictures.map(async (picture, i) => [`${i}.png`, await encodePng(picture)] as const));
});
afterAll(async () => {
  await Promise.all([server.close(), classifier.release()]);
});

/** Threshold and verdict per image. */
const decided = ({ thresholds, accepted }: { thresholds: Float32Array; accepted: Uint8Array }) =>
  Array.from(thresholds, (threshold, i) => [threshold, accepted[i] === 1]);
const classify = (query: string) => server.app.inject({ method: "POST", url: `/v1/models/mnist/classify${query}`, ...form(files) });
const infer = (request: object) =>
  server.app.inject({
    method: "POST",
    url: "/v2/models/mnist/infer",
    payload: { ...request, inputs: [{ name: "images", shape: [count, 20, 20, 1], datatype: "UINT8", data: [...pixels] }] },
  });
const verdictsOf = ({ results }: ClassificationBody) => results.map(({ threshold, accepted }) => [threshold, accepted]);

describe("a request may say which percentile's thresholds decide", () => {
  it("and has for each the library's verdicts", async () => {
    expect(classifier.card.calibration.thresholds.map(({ percentile }) => percentile)).toEqual(percentiles);
    const shares = new Set<number>();
    for (const percentile of percentiles) {
      const result = await classifier.classify(images, { percentile });
      const response = await classify(`?percentile=${percentile}`);
      expect(verdictsOf(response.json())).toEqual(decided(result));
      const { outputs } = (await infer({ parameters: { percentile }, outputs: [{ name: "threshold" }, { name: "accepted" }] })).json<{
        outputs: { data: unknown[] }[];
      }>();
      expect(outputs[0]!.data.map((threshold, i) => [threshold, outputs[1]!.data[i]])).toEqual(decided(result));
      shares.add(result.accepted.reduce((sum, one) => sum + one, 0));
    }
    expect(shares.size).toBeGreaterThan(1);
  });

  it("the one in force gives to the last bit what the graph of the file gives", async () => {
    const [inForce, asked] = await Promise.all([classify(""), classify("?percentile=1")]);
    expect(asked.json<ClassificationBody>().results).toEqual(inForce.json<ClassificationBody>().results);
    expect(verdictsOf(asked.json())).toEqual(decided(await classifier.classify(images)));
    const [plain, same] = await Promise.all([infer({}), infer({ parameters: { percentile: 1 } })]);
    expect(same.json()).toEqual(plain.json());
  });

  it("also where requests for several share a batch", async () => {
    const responses = await Promise.all(["", "?percentile=10", "?percentile=0.5"].map(classify));
    const expected = [{}, { percentile: 10 }, { percentile: 0.5 }].map((options) => classifier.classify(images, options));
    for (const [i, response] of responses.entries()) expect(verdictsOf(response.json())).toEqual(decided(await expected[i]!));
  });

  it("while the drift signal goes on counting by the thresholds in force", async () => {
    const fresh = await startServer();
    const digit = readFileSync("samples/images/digit.png");
    const url = "/v1/models/mnist/classify";
    const strict = await fresh.app.inject({ method: "POST", url: `${url}?percentile=10`, ...form([["shirt", digit], ...files]) });
    const inForce = await classifier.classify(images);
    expect(strict.json<ClassificationBody>().results.filter(({ accepted }) => accepted).length).toBe(1);
    expect(inForce.accepted.includes(1)).toBe(true);
    const accepted = 1 + inForce.accepted.reduce((sum, one) => sum + one, 0);
    expect(await fresh.metric('sdim_rejection_share{model="mnist"}')).toBeCloseTo(1 - accepted / (count + 1), 12);
    await fresh.close();
  });

  it.each([
    [
      "that the file has no thresholds at",
      "3",
      "percentile 3: the model file has thresholds at 0.5, 1, 2, 5, 10. Add it with: sdim calibrate",
    ],
    ["that is none", "-1", "percentile: expected a number from 0 to below 100, got -1"],
    ["that is no number", "high", 'query: percentile: expected a number, got "high"'],
    ["that is empty", "", 'query: percentile: expected a number, got ""'],
    ["twice", "1&percentile=2", 'query: percentile: expected a number, got ["1","2"]'],
  ])("one %s is refused", async (_what, percentile, message) => {
    const response = await classify(`?percentile=${percentile}`);
    const { error } = response.json<{ error: { code: string; message: string } }>();
    expect([response.statusCode, error.code, error.message]).toEqual([400, "bad_request", expect.stringContaining(message)]);
  });

  it.each([
    [3, "percentile 3: the model file has thresholds at 0.5, 1, 2, 5, 10."],
    ["1", 'the request: parameters.percentile: expected a number, got "1"'],
  ])("and by /v2: %j", async (percentile, message) => {
    const response = await infer({ parameters: { percentile } });
    expect([response.statusCode, response.json()]).toEqual([400, { error: expect.stringContaining(message) }]);
  });

  it("as /docs says", async () => {
    const { paths } = (await server.app.inject({ url: "/docs/json" })).json<{
      paths: Record<string, { post: { parameters: object[]; requestBody: { content: object } } }>;
    }>();
    expect(paths["/v1/models/{name}/classify"]!.post.parameters).toContainEqual(
      expect.objectContaining({ in: "query", name: "percentile", required: false, schema: { type: "number" } }),
    );
    expect(JSON.stringify(paths["/v2/models/{name}/infer"]!.post.requestBody.content)).toContain('"percentile":{"description":');
  });
});
