import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { imagesTensor } from "../../src/server/v2/images.ts";
import { noise } from "../support/pictures.ts";
import { mnist, startServer, type TestedServer } from "../support/serving.ts";

const url = "/v2/models/mnist/infer";
const json = { "content-type": "application/json" };
/** Three images, [3, 28, 20, 1]. */
const pixels = noise(5, 3 * 28, 20, 1).pixels;
const shape = [3, 28, 20, 1];
const input = { name: "images", shape, datatype: "UINT8" };
const classifier = await Classifier.load(mnist.path);
const expected = await classifier.classify({ pixels, count: 3, height: 28, width: 20, channels: 1 });
await classifier.release();
let server: TestedServer;

beforeAll(async () => {
  server = await startServer({ limits: { pixelsPerImage: 10_000, jsonBytes: 50_000 } });
});
afterAll(() => server.close());

interface Output {
  readonly name: string;
  readonly shape: number[];
  readonly datatype: string;
  readonly data?: unknown[];
  readonly parameters?: { readonly binary_data_size: number };
}

const post = (request: unknown, headers: Record<string, string> = json) =>
  server.app.inject({ method: "POST", url, headers, payload: typeof request === "string" ? request : JSON.stringify(request) });

/** With the pixels after the JSON part, as Triton's clients send them. */
function binaryBody(request: object, bytes: Uint8Array = pixels) {
  const header = Buffer.from(JSON.stringify(request));
  return {
    payload: Buffer.concat([header, bytes]),
    headers: { "content-type": "application/octet-stream", "inference-header-content-length": String(header.length) },
  };
}

const nested = (flat: readonly number[]) =>
  Array.from({ length: 3 }, (_, n) =>
    Array.from({ length: 28 }, (_, y) => Array.from({ length: 20 }, (_, x) => [flat[(n * 28 + y) * 20 + x]])),
  );

describe("Open Inference Protocol v2", () => {
  it("says what server and model are", async () => {
    const get = async (path: string) => (await server.app.inject({ url: path })).json<unknown>();
    expect(await get("/v2")).toEqual({ name: "sdim", version: expect.any(String), extensions: ["binary_tensor_data"] });
    expect(await get("/v2/health/live")).toEqual({ live: true });
    expect(await get("/v2/health/ready")).toEqual({ ready: true });
    for (const path of ["", "/versions/1"]) expect(await get(`/v2/models/mnist${path}/ready`)).toEqual({ name: "mnist", ready: true });
    const model = {
      name: "mnist",
      versions: ["1"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "images", datatype: "UINT8", shape: [-1, -1, -1, 1] }],
      outputs: [
        { name: "label", datatype: "INT64", shape: [-1] },
        { name: "accepted", datatype: "BOOL", shape: [-1] },
        { name: "log_likelihood", datatype: "FP32", shape: [-1] },
        { name: "threshold", datatype: "FP32", shape: [-1] },
        { name: "class_log_likelihoods", datatype: "FP32", shape: [-1, 10] },
        { name: "representation", datatype: "FP32", shape: [-1, 64] },
      ],
    };
    expect(await get("/v2/models/mnist")).toEqual(model);
    expect(await get("/v2/models/mnist/versions/1")).toEqual(model);
    expect(await get("/v2/models/mnist/versions/2")).toEqual({ error: "version 2: there is one, 1" });
    expect(await get("/v2/models/mnits/ready")).toEqual({ error: expect.stringContaining('did you mean "mnist"') });
    expect(await get("/v2/nothing")).toEqual({ error: expect.stringContaining("no GET /v2/nothing here") });
  });

  it.each([
    ["flat", [...pixels]],
    ["nested", nested([...pixels])],
  ])("infers from %s JSON data, all outputs", async (_name, data) => {
    const response = await post({ id: "42", inputs: [{ ...input, data }] });
    expect(response.statusCode).toBe(200);
    const { outputs, ...about } = response.json<{ outputs: Output[] }>();
    expect(about).toEqual({ model_name: "mnist", model_version: "1", id: "42" });
    expect(outputs).toEqual([
      { name: "label", datatype: "INT64", shape: [3], data: [...expected.labels] },
      { name: "accepted", datatype: "BOOL", shape: [3], data: Array.from(expected.accepted, (value) => value === 1) },
      { name: "log_likelihood", datatype: "FP32", shape: [3], data: [...expected.logLikelihoods] },
      { name: "threshold", datatype: "FP32", shape: [3], data: [...expected.thresholds] },
      { name: "class_log_likelihoods", datatype: "FP32", shape: [3, 10], data: [...expected.classLogLikelihoods] },
      { name: "representation", datatype: "FP32", shape: [3, 64], data: [...expected.representations] },
    ]);
  });

  it("takes and gives binary tensors", async () => {
    const response = await server.app.inject({
      method: "POST",
      url,
      ...binaryBody({
        inputs: [{ ...input, parameters: { binary_data_size: pixels.length } }],
        parameters: { binary_data_output: true },
        outputs: [
          { name: "label" },
          { name: "threshold", parameters: { binary_data: false } },
          { name: "accepted" },
          { name: "representation" },
        ],
      }),
    });
    expect([response.statusCode, response.headers["content-type"]]).toEqual([200, "application/octet-stream"]);
    const length = Number(response.headers["inference-header-content-length"]);
    const { outputs } = JSON.parse(response.rawPayload.subarray(0, length).toString()) as { outputs: Output[] };
    const size = (n: number) => ({ parameters: { binary_data_size: n } });
    expect(outputs).toEqual([
      { name: "label", datatype: "INT64", shape: [3], ...size(24) },
      { name: "threshold", datatype: "FP32", shape: [3], data: [...expected.thresholds] },
      { name: "accepted", datatype: "BOOL", shape: [3], ...size(3) },
      { name: "representation", datatype: "FP32", shape: [3, 64], ...size(3 * 64 * 4) },
    ]);
    const rest = Uint8Array.from(response.rawPayload.subarray(length)).buffer;
    expect([...new BigInt64Array(rest.slice(0, 24))].map(Number)).toEqual([...expected.labels]);
    expect([...new Uint8Array(rest.slice(24, 27))]).toEqual([...expected.accepted]);
    expect(new Float32Array(rest.slice(27))).toEqual(expected.representations);
  });

  const data = [...pixels];
  const withData = (changes: object) => ({ inputs: [{ ...input, data, ...changes }] });
  it.each([
    ["no JSON", "{", /not JSON/],
    ["NaN", JSON.stringify(withData({})).replace(`[${data[0]},`, "[NaN,"), /not JSON/],
    ["no inputs", {}, /inputs/],
    ["an empty list of inputs", { inputs: [] }, /expected one, "images", got none/],
    ["another input", withData({ name: "image" }), /expected one, "images", got "image"/],
    [
      "two inputs",
      {
        inputs: [
          { ...input, data },
          { ...input, data },
        ],
      },
      /got "images", "images"/,
    ],
    ["floats", withData({ datatype: "FP32" }), /expected datatype UINT8, got FP32/],
    ["another rank", withData({ shape: [3, 28, 20] }), /expected shape \[N, H, W, C\]/],
    ["a size of 0", withData({ shape: [0, 28, 20, 1], data: [] }), /sizes above 0/],
    ["a negative size", withData({ shape: [-3, 28, -20, 1] }), /sizes above 0/],
    ["a broken size", withData({ shape: [3, 28.5, 20, 1] }), /shape/],
    ["another size", withData({ shape: [3, 28, 21, 1] }), /has 1764 values, got 1680/],
    ["channels first", withData({ shape: [3, 1, 28, 20] }), /takes 1 channel\(s\) \[N, H, W, C\], got 20/],
    ["more channels", withData({ shape: [1, 28, 20, 3] }), /takes 1 channel/],
    ["values out of range", withData({ data: data.with(7, 256) }), /value 7: expected a whole number from 0 to 255, got 256/],
    ["a negative value", withData({ data: data.with(7, -1) }), /value 7/],
    ["a fraction", withData({ data: data.with(7, 0.5) }), /value 7/],
    [
      "a value that goes down and down",
      JSON.stringify(withData({ data: [...data.slice(0, -1), "deep"] })).replace('"deep"', `${"[".repeat(20_000)}${"]".repeat(20_000)}`),
      /value 1679: .* got an array/,
    ],
    ["null", withData({ data: [...data.slice(0, -1), null] }), /value 1679: .* got null/],
    [
      "ragged nesting",
      withData({ data: nested(data).map((image, n) => (n === 1 ? image.slice(1) : image)) }),
      /expected 28 elements, got 27/,
    ],
    ["too deep nesting", withData({ data: nested(data).map((image) => [image]) }), /expected 28 elements, got 1/],
    ["no data", { inputs: [input] }, /expected data/],
    [
      "a binary size without bytes",
      { inputs: [{ ...input, parameters: { binary_data_size: 1680 } }] },
      /got binary_data_size 1680 and 0 bytes/,
    ],
    ["an unknown output", { ...withData({}), outputs: [{ name: "lable" }] }, /unknown output "lable": did you mean "label"/],
    [
      "an output that is like none",
      { ...withData({}), outputs: [{ name: "saliency" }] },
      /unknown output "saliency": Known: label, accepted/,
    ],
    ["an output twice", { ...withData({}), outputs: [{ name: "label" }, { name: "label" }] }, /asked for twice/],
    [
      "a flag that is none",
      { ...withData({}), outputs: [{ name: "label", parameters: { binary_data: "yes" } }] },
      /expected true or false/,
    ],
  ])("refuses %s", async (_name, request, reason) => {
    const response = await post(request);
    expect(response.statusCode).toBe(400);
    expect(response.json<{ error: string }>().error).toMatch(reason);
  });

  it.each(["-1", "1e9", "x", "", "100000"])("refuses a length of the JSON part of %s", async (length) => {
    const response = await post(withData({}), { ...json, "inference-header-content-length": length });
    expect([response.statusCode, response.json<{ error: string }>().error]).toEqual([
      400,
      expect.stringContaining("Inference-Header-Content-Length"),
    ]);
  });

  it("refuses bytes that are not announced, or not as many as the shape says", async () => {
    const infer = (body: ReturnType<typeof binaryBody>) => server.app.inject({ method: "POST", url, ...body });
    const unannounced = await infer(binaryBody({ inputs: [{ ...input, data }] }));
    expect([unannounced.statusCode, unannounced.json<{ error: string }>().error]).toEqual([
      400,
      expect.stringContaining("no binary_data_size announces them"),
    ]);
    const short = await infer(binaryBody({ inputs: [{ ...input, parameters: { binary_data_size: 1680 } }] }, pixels.subarray(1)));
    expect(short.json<{ error: string }>().error).toContain("needs 1680 bytes, got binary_data_size 1680 and 1679 bytes");
  });

  it("takes no image so long that resizing it would take gigabytes", () => {
    const thin = { json: { inputs: [{ ...input, shape: [1, 1, 65_536, 1], data: [] }] }, binary: new Uint8Array() };
    expect(() => imagesTensor(thin, 1e8)).toThrow("images: 1 x 65536 is more than 65535 pixels on a side");
  });

  it("has limits", async () => {
    const large = await post(withData({ shape: [1, 101, 100, 1] }));
    expect(large.statusCode).toBe(413);
    const many = await post(withData({ shape: [420, 2, 2, 1] }));
    expect([many.statusCode, many.json<{ error: string }>().error]).toEqual([413, expect.stringContaining("256 images at most")]);
    const long = await post({ ...withData({}), id: "x".repeat(50_000) });
    expect([long.statusCode, long.json<{ error: string }>().error]).toEqual([
      413,
      expect.stringContaining("send the tensor as binary data"),
    ]);
    const axes = await post(withData({ shape: Array.from({ length: 5000 }, () => "") }));
    expect([axes.statusCode, axes.json<{ error: string }>()]).toEqual([400, { error: "shape: expected at most 16, got 5000" }]);
    const type = await post("x", { "content-type": "text/plain" });
    expect([type.statusCode, type.json<{ error: string }>().error]).toEqual([
      415,
      "Content-Type: expected application/json or application/octet-stream",
    ]);
  });
});
