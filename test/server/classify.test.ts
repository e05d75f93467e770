import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { encodePng, readPicture } from "../../src/data/images.ts";
import type { RefusedImage } from "../../src/server/errors.ts";
import type { ClassificationBody } from "../../src/server/schemas.ts";
import { pngAnnouncing } from "../support/announcing.ts";
import { bmp, noise } from "../support/pictures.ts";
import { form, garments, mnist, startServer, type TestedServer } from "../support/serving.ts";

const digit = readFileSync("samples/images/digit.png");
const shirt = readFileSync("samples/images/shirt.png");
const url = "/v1/models/mnist/classify";
let server: TestedServer;

beforeAll(async () => {
  server = await startServer(
    { workers: 2, limits: { imagesPerRequest: 12, pixelsPerImage: 250_000, bodyBytes: 2_000_000, jsonBytes: 300_000 } },
    [mnist, garments],
  );
});
afterAll(() => server.close());

/** What `sdim predict` says: one image after another, on all cores. */
async function predictions(path: string, images: readonly Uint8Array[]) {
  const classifier = await Classifier.load(path);
  const { model, classNames } = classifier.card;
  const results: unknown[] = [];
  for (const image of images) {
    const result = await classifier.classify({ ...(await readPicture(image, model.channels)), count: 1 });
    results.push({
      label: classNames[result.labels[0]!],
      classIndex: result.labels[0],
      accepted: result.accepted[0] === 1,
      logLikelihood: result.logLikelihoods[0],
      threshold: result.thresholds[0],
      classLogLikelihoods: [...result.classLogLikelihoods],
    });
  }
  await classifier.release();
  return results;
}

const errorOf = (payload: string) =>
  (JSON.parse(payload) as { error: { code: string; message: string; images?: readonly RefusedImage[] } }).error;
const json = (images: readonly string[]) => ({ headers: { "content-type": "application/json" }, payload: JSON.stringify({ images }) });

describe("classify", () => {
  it("says to the last bit what `sdim predict` says, of pictures of several sizes and formats in one request", async () => {
    const images = [
      digit,
      shirt,
      await encodePng(noise(1, 28, 28, 1)),
      await encodePng(noise(2, 57, 40, 3)),
      await encodePng(noise(3, 57, 40, 1)),
      await encodePng(noise(4, 9, 300, 1)),
      Buffer.from(bmp({ width: 3, height: 2, bits: 24, rows: [[1, 2, 3, 4, 5, 6, 7, 8, 9], new Array<number>(9).fill(200)] })),
    ];
    for (const { name, path } of [mnist, garments]) {
      const response = await server.app.inject({
        method: "POST",
        url: `/v1/models/${name}/classify`,
        ...form(images.map((image, i) => [`${i}.png`, image])),
      });
      expect(response.statusCode).toBe(200);
      const body = response.json<ClassificationBody>();
      expect(body.model).toBe(name);
      expect(body.results).toEqual(await predictions(path, images));
    }
  });

  it("says so as well of many requests at once, which it gathers into batches", async () => {
    const images = await Promise.all(Array.from({ length: 40 }, (_, i) => encodePng(noise(i, 28, 28, 1))));
    const responses = await Promise.all(
      images.map((payload) => server.app.inject({ method: "POST", url, headers: { "content-type": "image/png" }, payload })),
    );
    expect(responses.map((response) => response.json<ClassificationBody>().results[0])).toEqual(await predictions(mnist.path, images));
    const [batches, inBatches] = [await server.metric("sdim_batch_size_count"), await server.metric("sdim_batch_size_sum")];
    expect(inBatches! / batches!).toBeGreaterThan(1.5);
  });

  it.each([
    ["a raw body", "image/png", digit],
    ["a raw body of no said kind", "application/octet-stream", digit],
    ["JSON", "application/json", JSON.stringify({ images: [digit.toString("base64")] })],
    ["JSON with a data: URL", "application/json", JSON.stringify({ images: [`data:image/png;base64,${digit.toString("base64")}`] })],
  ])("takes %s", async (_name, type, payload) => {
    const response = await server.app.inject({ method: "POST", url, headers: { "content-type": type }, payload });
    expect(response.statusCode).toBe(200);
    const { results, timing } = response.json<ClassificationBody>();
    expect(results.map(({ label, accepted }) => [label, accepted])).toEqual([["7", true]]);
    for (const part of [timing.decodeMs, timing.queueMs, timing.inferenceMs]) expect(part).toBeGreaterThan(0);
    expect(timing.totalMs).toBeGreaterThan(timing.decodeMs + timing.inferenceMs);
  });

  it("refuses a request with broken images and names each", async () => {
    const files = form([
      ["good.png", digit],
      ["text.png", Buffer.from("no image")],
      ["cut.png", shirt.subarray(0, 200)],
    ]);
    const response = await server.app.inject({ method: "POST", url, ...files });
    expect(response.statusCode).toBe(400);
    const { code, message, images } = errorOf(response.payload);
    expect(code).toBe("broken_image");
    expect(message).toMatch(/^image 1 \(text\.png\): cannot be read as an image: expected PNG/);
    expect(images).toMatchObject([
      { index: 1, file: "text.png" },
      { index: 2, file: "cut.png" },
    ]);
    const cut = await server.app.inject({
      method: "POST",
      url,
      ...form([
        ["good.png", digit],
        ["cut.png", shirt.subarray(0, 200)],
      ]),
    });
    expect(errorOf(cut.payload)).toMatchObject({ code: "broken_image", images: [{ index: 1, file: "cut.png" }] });
  });

  it("names all that are broken, whether the base64, the header or the body is", async () => {
    const good = digit.toString("base64");
    const response = await server.app.inject({
      method: "POST",
      url,
      ...json([
        good,
        "a*b!",
        Buffer.from("no image").toString("base64"),
        `data:image/png;base64,${shirt.subarray(0, 200).toString("base64")}`,
        "data:image/png,abcd",
        (await pngAnnouncing(600, 600)).toString("base64"),
        good,
        "",
      ]),
    });
    const { code, message, images } = errorOf(response.payload);
    expect([response.statusCode, code]).toEqual([400, "broken_image"]);
    expect(message).toMatch(/^image 1: not in base64: expected a picture file's bytes in base64, .* \(and 4 more\)$/);
    // What is too large alone is not broken.
    expect(images!.map(({ index, reason }) => [index, reason.slice(0, 33)])).toEqual([
      [1, "not in base64: expected a picture"],
      [2, "cannot be read as an image: expec"],
      [3, "cannot be read as an image: expec"],
      [4, "not in base64: expected a picture"],
      [7, "not in base64: expected a picture"],
    ]);
    expect(server.service.memory.used).toBe(0);
  });

  it("refuses SVG, which would be drawn", async () => {
    const payload = '<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"/>';
    const response = await server.app.inject({ method: "POST", url, headers: { "content-type": "image/svg+xml" }, payload });
    expect([response.statusCode, errorOf(response.payload).message]).toEqual([400, expect.stringContaining("got svg")]);
  });

  it.each([
    ["another content type", { "content-type": "text/plain" }, "x", 415, "unsupported_media_type"],
    ["no content type", {}, "x", 415, "unsupported_media_type"],
    ["an empty body", { "content-type": "image/png" }, "", 400, "no_images"],
    ["an empty form", form([]).headers, form([]).payload, 400, "no_images"],
    ["a form cut short", form([]).headers, form([["a.png", digit]]).payload.subarray(0, 150), 400, "bad_request"],
    ["a form without a boundary", { "content-type": "multipart/form-data" }, "x", 400, "bad_request"],
    [
      "a field of a form",
      form([]).headers,
      '------boundary\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n------boundary--\r\n',
      400,
      "bad_request",
    ],
    ["what is not JSON", { "content-type": "application/json" }, "{", 400, "bad_request"],
    ["JSON of another form", { "content-type": "application/json" }, '{"images":["aa"],"path":"/etc/passwd"}', 400, "bad_request"],
    [
      "JSON with more entries than there may be images, whatever they are",
      { "content-type": "application/json" },
      JSON.stringify({ images: new Array(50_000).fill(1) }),
      413,
      "too_many_images",
    ],
    ["JSON without images", { "content-type": "application/json" }, '{"images":[]}', 400, "bad_request"],
    ["what is not base64", { "content-type": "application/json" }, '{"images":["a*b!"]}', 400, "broken_image"],
    ["too many files", form([]).headers, form(Array.from({ length: 13 }, () => ["a.png", digit] as const)).payload, 413, "too_many_images"],
    [
      "too many strings",
      { "content-type": "application/json" },
      JSON.stringify({ images: new Array(13).fill("aaaa") }),
      413,
      "too_many_images",
    ],
    ["no body", {}, "", 400, "no_images"],
    ["an empty body of JSON", { "content-type": "application/json" }, "", 400, "no_images"],
    ["a packed body", { "content-type": "image/png", "content-encoding": "gzip" }, digit, 415, "unsupported_media_type"],
    ["a body too large", { "content-type": "image/png" }, Buffer.alloc(2_000_001), 413, "too_large"],
    ["JSON too large", { "content-type": "application/json" }, JSON.stringify({ images: ["a".repeat(300_000)] }), 413, "too_large"],
  ] as const)("refuses %s", async (_name, headers, payload, status, code) => {
    const response = await server.app.inject({ method: "POST", url, headers, payload: payload as string });
    expect([response.statusCode, errorOf(response.payload).code]).toEqual([status, code]);
    expect(errorOf(response.payload).message).not.toBe("");
    expect(server.service.memory.used).toBe(0);
  });

  it("refuses an image with too many pixels from its header alone", async () => {
    const payload = await encodePng({ pixels: new Uint8Array(501 * 500), height: 501, width: 500, channels: 1 });
    const response = await server.app.inject({ method: "POST", url, headers: { "content-type": "image/png" }, payload });
    expect([response.statusCode, errorOf(response.payload)]).toMatchObject([
      413,
      { code: "image_too_large", message: "image 0: it has 250500 pixels, more than the 250000 that are allowed" },
    ]);
  });

  it.each([
    ["PNG", () => pngAnnouncing(40_000, 40_000), 1_600_000_000],
    ["BMP", () => Buffer.from(bmp({ width: 20_000, height: 20_000, bits: 24, rows: [] })), 400_000_000],
  ])("refuses a %s with more pixels than are ever read in the same way", async (_format, picture, pixels) => {
    const payload = await picture();
    const response = await server.app.inject({ method: "POST", url, headers: { "content-type": "image/png" }, payload });
    expect([response.statusCode, errorOf(response.payload)]).toEqual([
      413,
      {
        code: "image_too_large",
        message: `image 0: it has ${pixels} pixels, more than the 250000 that are allowed`,
        images: [{ index: 0, reason: `it has ${pixels} pixels, more than the 250000 that are allowed` }],
      },
    ]);
    expect(server.service.memory.used).toBe(0);
  });

  it("says what would be taken", async () => {
    const messageOf = async (headers: Record<string, string>, payload: string | Buffer, path = url) => {
      const response = await server.app.inject({ method: "POST", url: path, headers, payload });
      return (JSON.parse(response.payload) as { error: { message: string } }).error.message;
    };
    expect(await messageOf({}, "")).toBe(
      'expected images, got no body: send files (multipart/form-data), one image as the body (Content-Type image/* or application/octet-stream), or JSON {"images": [base64, ...]}',
    );
    expect(await messageOf({ "content-type": "image/png", "content-encoding": "gzip" }, digit)).toBe(
      'Content-Encoding: expected none, got "gzip": send the body as it is (picture files are compressed already)',
    );
    // Of the two limits the one of JSON, also where the body is larger than both.
    for (const size of [300_000, 2_100_000]) {
      expect(await messageOf({ "content-type": "application/json" }, JSON.stringify("a".repeat(size)))).toBe(
        "JSON may have 300000 bytes at most: send files (multipart/form-data), for which 2000000 are allowed",
      );
    }
    expect(await messageOf({ "content-type": "image/png" }, Buffer.alloc(2_000_001))).toBe("a body may have 2000000 bytes at most");
    // A body that nobody asked for does not matter.
    expect(await messageOf({ "content-type": "application/json" }, "{", "/nothing")).toBe(
      "no POST /nothing here: /docs lists what there is",
    );
  });

  it("takes no more JSON than of any body, also where its length is not said", async () => {
    const strict = await startServer({ limits: { bodyBytes: 1000, jsonBytes: 300_000 } });
    const headers = { "content-type": "application/json" };
    const payload = Readable.from([JSON.stringify({ images: ["a".repeat(1000)] })]);
    const response = await strict.app.inject({ method: "POST", url, headers, payload });
    expect([response.statusCode, errorOf(response.payload).message]).toEqual([413, "JSON may have 1000 bytes at most"]);
    await strict.close();
  });

  it("takes a body that says it is not packed", async () => {
    const headers = { "content-type": "image/png", "content-encoding": "identity" };
    expect((await server.app.inject({ method: "POST", url, headers, payload: digit })).statusCode).toBe(200);
  });

  it("names the nearest of an unknown model", async () => {
    const response = await server.app.inject({ method: "POST", url: "/v1/models/mnits/classify", ...form([["a.png", digit]]) });
    expect([response.statusCode, errorOf(response.payload)]).toEqual([
      404,
      { code: "unknown_model", message: 'unknown model "mnits": did you mean "mnist"? Known: mnist, garments' },
    ]);
  });

  it("logs requests without what is in them", () => {
    const requests = server.log.filter(({ msg }) => msg === "request");
    expect(requests.length).toBeGreaterThan(40);
    expect(requests[0]).toMatchObject({ method: "POST", route: "/v1/models/:name/classify", status: 200, ms: expect.any(Number) });
    expect(Math.max(...server.log.map((line) => JSON.stringify(line).length))).toBeLessThan(500);
    expect(server.log.filter(({ level }) => (level as number) >= 50)).toEqual([]);
  });
});
