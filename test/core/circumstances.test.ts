import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { circumstances, commandLine } from "../../src/core/circumstances.ts";

describe("commandLine", () => {
  it("is what a shell reads back as the same arguments", () => {
    const args = ["evaluate", "my model.onnx", "--data", "a'b", "--percentile", "1,2", "$HOME", "", "a\nb", "*", "größer"];
    const line = commandLine("printf '%s\\0'", args);
    expect(execFileSync("/bin/sh", ["-c", line], { encoding: "utf8" }).split("\0").slice(0, -1)).toEqual(args);
    expect(commandLine("sdim", ["evaluate", "runs/a/model.onnx", "--percentile", "1,2"])).toBe(
      "sdim evaluate runs/a/model.onnx --percentile 1,2",
    );
  });
});

describe("circumstances", () => {
  it("says command, versions, machine and time", () => {
    const before = Date.now();
    const found = circumstances("sdim evaluate", "1.2.3");
    expect(found).toMatchObject({ command: "sdim evaluate", onnxruntime: "1.2.3", node: process.version });
    expect(Date.parse(found.at)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(found.at)).toBeLessThanOrEqual(Date.now());
    expect(found.cores).toBeGreaterThan(0);
    expect(found.load).toBeGreaterThanOrEqual(0);
  });
});
