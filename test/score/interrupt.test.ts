import { linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { encodePng } from "../../src/data/images.ts";
import { journalPath } from "../../src/score/score.ts";
import { start } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);

it("Ctrl-C twice in the middle of a batch ends with 130 at once, and without a word of ONNX Runtime", async () => {
  const folder = temporaryFolder();
  const pictures = join(folder, "pictures");
  mkdirSync(pictures);
  // Quick to unpack, slow to classify.
  const pixels = new Uint8Array(3000 * 3000).fill(90);
  writeFileSync(join(pictures, "0.png"), await encodePng({ pixels, height: 3000, width: 3000, channels: 1 }));
  for (let i = 1; i < 200; i++) linkSync(join(pictures, "0.png"), join(pictures, `${i}.png`));
  const { child, finished, stderr } = start([
    "score",
    "models/mnist/model.onnx",
    pictures,
    "--out",
    join(folder, "out.csv"),
    "--threads",
    "1",
  ]);
  while (!stderr().includes("files/s") && child.exitCode === null) await pause(5);
  child.kill("SIGINT");
  while (!stderr().includes("once more: at once") && child.exitCode === null) await pause(5);
  child.kill("SIGINT");
  const said = await finished;
  expect([said.code, said.signal]).toEqual([130, null]);
  expect(said.stderr).not.toContain("terminate");
  expect(said.stderr).not.toContain("our failure");
});

it("of a list that is still being written, what has come is kept after a second, and Ctrl-C need not wait for the rest", async () => {
  const out = join(temporaryFolder(), "out.csv");
  const { child, finished, stderr } = start(["score", "models/mnist/model.onnx", "-", "--out", out, "--threads", "1"], "pipe");
  child.stdin!.write("samples/images/digit.png\n");
  while (!stderr().includes("1 files") && child.exitCode === null) await pause(5);
  const [, row] = readFileSync(journalPath(out), "utf8").split("\n");
  expect(JSON.parse(row!)).toMatchObject({ file: "samples/images/digit.png", error: null });
  child.kill("SIGINT");
  const said = await finished;
  expect(said.stderr).toContain("stopped after 1 files; they are kept in");
  expect([said.code, said.signal]).toEqual([130, null]);
});
