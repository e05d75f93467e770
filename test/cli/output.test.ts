import { describe, expect, it, onTestFinished, vi } from "vitest";
import { note, ProgressLine, printJson, printLine, visible } from "../../src/cli/output.ts";
import { sdimHere } from "../support/cli.ts";

/** A name that would change a terminal's title, clear it, and turn what follows around. */
const hostile = "cat\u001b]0;owned\u0007\u001b[2J\r\u0000\u007f\u009b1m\u202e\u2066";
const shown = "cat\\u001b]0;owned\\u0007\\u001b[2J\\u000d\\u0000\\u007f\\u009b1m\\u202e\\u2066";

function written(stream: "stdout" | "stderr", print: () => void): string {
  let text = "";
  const spy = vi.spyOn(process[stream], "write").mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  print();
  spy.mockRestore();
  return text;
}

describe("what would steer a terminal", () => {
  it("is shown, in lines for people and in notes", () => {
    expect(written("stdout", () => printLine(hostile))).toBe(`${shown}\n`);
    expect(written("stderr", () => note(`sdim: ${hostile}`))).toBe(`sdim: ${shown}\n`);
  });

  it("leaves lines, tabs and other scripts as they are", () => {
    const text = "two\nlines\tor so: \u00e9 \u732b \u05d7\u05ea\u05d5\u05dc \u{1f408} \u200d";
    expect(visible(text)).toBe(text);
  });

  it("is escaped in JSON, which means the same", () => {
    const text = written("stdout", () => printJson({ file: hostile }));
    expect(JSON.parse(text)).toEqual({ file: hostile });
    expect(visible(text)).toBe(text);
  });

  it("is shown in lines that are drawn over, whose own signs stay", () => {
    const { isTTY, columns } = process.stderr;
    Object.assign(process.stderr, { isTTY: true, columns: 200 });
    onTestFinished(() => void Object.assign(process.stderr, { isTTY, columns }));
    expect(written("stderr", () => new ProgressLine().show(hostile, true))).toBe(`\r\u001b[2K${shown}`);
  });

  it("is shown in what a command says of its arguments", async () => {
    const { code, stderr } = await sdimHere("inspect", `${hostile.replace("\u0000", "")}.onnx`);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`cannot read the model ${shown.replace("\\u0000", "")}.onnx`)]);
    const unknown = await sdimHere("inspect", "a.onnx", "--\u001b[2J");
    expect(unknown.stderr).toContain("unknown option '--\\u001b[2J'");
  });
});
