import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

// Whether what `npm pack` holds is enough: packed, installed into an empty folder without development packages, and asked for a verdict.

const folder = mkdtempSync(join(tmpdir(), "sdim-package-"));
const run = (command: string, args: readonly string[], cwd: string): string => execFileSync(command, args, { cwd, encoding: "utf8" });
try {
  run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], ".");
  const packed = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  if (packed === undefined) throw new Error("npm pack wrote no package");
  run("npm", ["init", "--yes", "--silent"], folder);
  run("npm", ["install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", `./${packed}`], folder);
  const inside = join(folder, "node_modules", "sdim");
  const said = run(
    join(folder, "node_modules/.bin/sdim"),
    ["predict", join(inside, "models/mnist/model.onnx"), resolve("samples/images/digit.png")],
    folder,
  );
  if (!said.includes("7  accepted")) throw new Error(`the installed package says of the digit 7: ${said}`);
  process.stdout.write(`${packed}: installs and runs\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
