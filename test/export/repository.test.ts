import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { readModelFile } from "../../src/classify/model-file.ts";
import { fileDigest } from "../../src/core/files.ts";
import { inferenceService } from "../../src/export/kserve.ts";
import { writeRepository } from "../../src/export/repository.ts";
import { tritonConfig, tritonRepository } from "../../src/export/triton.ts";
import { Session, tensor } from "../../src/runtime/session.ts";
import { sdim } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);
const path = "models/mnist/model.onnx";
const options = { name: "mnist", version: 3, maxBatchSize: 8, maxQueueDelay: 100 };

describe("a Triton repository", () => {
  it("has the model, its classes and a config that says what ONNX Runtime gives", async () => {
    const out = temporaryFolder();
    writeRepository(out, tritonRepository(readModelFile(path), options));
    expect(readdirSync(join(out, "mnist")).sort()).toEqual(["3", "config.pbtxt", "labels.txt"]);
    expect(readFileSync(join(out, "mnist/labels.txt"), "utf8")).toBe("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    const text = readFileSync(join(out, "mnist/config.pbtxt"), "utf8");
    const session = await Session.create(readFileSync(join(out, "mnist/3/model.onnx")), { threads: 1 });
    const results = await session.run({ images: tensor("uint8", new Uint8Array(2 * 28 * 28), [2, 28, 28, 1]) });
    await session.release();
    const names = [...text.matchAll(/name: "(\w+)"\n {4}data_type: TYPE_(\w+)\n {4}dims: \[ ([^\]]*) \](\n {4}reshape)?/g)];
    expect(names[0]!.slice(1, 4)).toEqual(["images", "UINT8", "-1, -1, 1"]);
    const types = { FP32: "float32", INT64: "int64", BOOL: "bool" } as const;
    expect(names.slice(1).map(([, name]) => name)).toEqual(session.outputNames);
    for (const [, name, type, dims, reshape] of names.slice(1)) {
      expect(results[name!]!.type).toBe(types[type as keyof typeof types]);
      expect([...results[name!]!.dims]).toEqual([2, ...(reshape === undefined ? dims!.split(", ").map(Number) : [])]);
    }
    expect(text).toContain("max_batch_size: 8\n");
    expect(text).toMatch(/dynamic_batching \{\n {2}max_queue_delay_microseconds: 100\n\}/);
  });

  it("refuses names that no server takes", () => {
    for (const name of ["", "Mnist", "a/b", "..", "-a"])
      expect(() => tritonRepository(readModelFile(path), { ...options, name })).toThrow("expected lower-case letters");
  });

  it("takes another version beside those there, and replaces nothing unasked", () => {
    const out = temporaryFolder();
    const write = (changed: Partial<typeof options>, isForced?: boolean) =>
      writeRepository(out, tritonRepository(readModelFile(path), { ...options, ...changed }), isForced);
    write({});
    write({ version: 4 });
    expect(readdirSync(join(out, "mnist")).sort()).toEqual(["3", "4", "config.pbtxt", "labels.txt"]);
    expect(() => write({ version: 5, maxBatchSize: 9 })).toThrow(
      /config\.pbtxt: is there already, with other content; --force replaces it/,
    );
    expect(existsSync(join(out, "mnist/5"))).toBe(false);
    write({ version: 5, maxBatchSize: 9 }, true);
    expect(readFileSync(join(out, "mnist/config.pbtxt"), "utf8")).toContain("max_batch_size: 9\n");
  });

  it("escapes what it is told", () => {
    expect(tritonConfig(readModelFile(path).card, { ...options, name: 'a"b' })).toContain('name: "a\\"b"');
  });
});

it("a KServe manifest says where the repository is", () => {
  expect(parse(String(inferenceService({ name: "mnist", storageUri: "pvc://models/repository" }).content))).toMatchObject({
    kind: "InferenceService",
    metadata: { name: "mnist" },
    spec: { predictor: { model: { modelFormat: { name: "triton" }, protocolVersion: "v2", storageUri: "pvc://models/repository" } } },
  });
  expect(() => inferenceService({ name: "mnist", storageUri: "models" })).toThrow("expected an address");
});

describe("the command", () => {
  it("writes a smaller file that predict takes, and the record beside it", async () => {
    const out = join(temporaryFolder(), "half.onnx");
    const { code, stdout } = await sdim("export", path, "--format", "onnx-fp16", "--weights-only", "--out", out, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ format: "onnx-fp16", comparison: null, sizeRatio: expect.closeTo(0.5, 1) });
    expect(JSON.parse(readFileSync(`${out}.json`, "utf8"))).toEqual(JSON.parse(stdout));
    const predicted = await sdim("predict", out, "samples/images/digit.png");
    expect(predicted.stdout).toContain("7  accepted");
  });

  it("takes the place of its original where it is told to, and the record says what that was", async () => {
    const model = join(temporaryFolder(), "model.onnx");
    copyFileSync(path, model);
    const original = { path: model, sha256: fileDigest(model), bytes: statSync(model).size };
    const { code } = await sdim("export", model, "--format", "onnx-fp16", "--weights-only", "--out", model, "--force");
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(`${model}.json`, "utf8"))).toMatchObject({ original, exported: { sha256: fileDigest(model) } });
    expect(fileDigest(model)).not.toBe(original.sha256);
  });

  it.each([
    [["--format", "triton"], "--name: the name of the model"],
    [["--format", "kserve", "--name", "a"], "--storage-uri: where the cluster finds the repository"],
    [["--format", "kserve", "--name", "a", "--storage-uri", "models"], "--storage-uri models: expected an address"],
    [["--format", "triton", "--name", "a", "--data", "mnist"], "--data: not for --format triton"],
    [["--format", "triton", "--name", "a", "--ood", "constant"], "--ood: not for --format triton"],
    [["--format", "triton", "--name", "a", "--split", "test", "--threads", "1"], "--split, --threads: not for --format triton"],
    [["--format", "onnx-fp16", "--max-batch-size", "8"], "--max-batch-size: not for --format onnx-fp16"],
    [["--format", "onnx-fp16", "--data", "mnist", "--synthetic-count", "8"], "--synthetic-count: of what data? Name it with --ood"],
    [["--format", "onnx-fp16", "--ood", "constant"], "--ood: of what images? Name them with --data"],
    [["--format", "onnx-int8"], "onnx-int8: needs images for the ranges"],
    [["--format", "onnx-int8", "--weights-only", "--name", "a"], "--name: not for --format onnx-int8"],
    [["--format", "onnx-fp16", "--recalibrate"], "--recalibrate: of what images? Name them with --data"],
  ])("%j is refused", async (args, message) => {
    const out = join(temporaryFolder(), "out");
    const { code, stderr } = await sdim("export", path, "--out", out, ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(existsSync(out)).toBe(false);
  });
});
