import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { defaults } from "../../src/train/config.ts";
import { noSums } from "../../src/train/records.ts";
import { sdim } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);

describe("sdim quickstart", () => {
  it("leaves a folder that holds something else as it is", async () => {
    const [withModel, withCheckpoint, withReport] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    writeFileSync(join(withReport, "report.html"), "mine");
    writeFileSync(join(withModel, "model.onnx"), "mine");
    const data = { name: "mine", split: "train", fingerprint: "abc" };
    const records = { history: [], epochs: [], pending: noSums(), pendingEpoch: noSums() };
    saveCheckpoint(withCheckpoint, {
      position: { config: defaults, data, step: 7, ...records, elapsedSeconds: 1 },
      state: new Map(),
      kept: new Map(),
    });
    const before = readFileSync(join(withCheckpoint, "checkpoint.safetensors"));
    for (const out of [withModel, withCheckpoint, withReport]) {
      const { code, stderr } = await sdim("quickstart", "--out", out);
      expect([code, stderr]).toEqual([2, `sdim: ${out} holds something else: choose another folder (--out)\n`]);
    }
    expect(readFileSync(join(withModel, "model.onnx"), "utf8")).toBe("mine");
    expect(readFileSync(join(withReport, "report.html"), "utf8")).toBe("mine");
    expect(readFileSync(join(withCheckpoint, "checkpoint.safetensors")).equals(before)).toBe(true);
  });
});
