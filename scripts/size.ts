// How large what a page loads is: the page of examples/browser, bundled, part by part. Fails when our own part outgrows its budget.
// Usage: npm run size   (after npm run build)
import { gzipSync } from "node:zlib";
import { build, type Rollup } from "vite";

/** Our code, with zod and the protobuf reader, gzipped: what a page has to load before it can begin. */
const budget = 70_000;

const { output } = (await build({
  root: "examples/browser",
  base: "./",
  configFile: false,
  logLevel: "error",
  build: { write: false, target: "es2022", rollupOptions: { onwarn: () => undefined } },
})) as Rollup.RollupOutput;

const whenLoaded = (name: string): string => {
  if (name.includes("webgpu") || name.includes("asyncify")) return 'with device "webgpu"';
  if (name.endsWith(".onnx")) return "the model";
  return name.includes("ort") ? 'with device "wasm"' : "always";
};
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`.padStart(12);

let own = 0;
process.stdout.write(`${"file".padEnd(58)}${"bytes".padStart(12)}${"gzip".padStart(12)}  loaded\n`);
for (const part of output) {
  const content = part.type === "chunk" ? Buffer.from(part.code) : Buffer.from(part.source);
  const [packed, when] = [gzipSync(content).length, whenLoaded(part.fileName)];
  if (when === "always" && part.fileName.endsWith(".js")) own += packed;
  process.stdout.write(`${part.fileName.padEnd(58)}${kilobytes(content.length)}${kilobytes(packed)}  ${when}\n`);
}
if (own === 0 || own > budget) {
  process.stderr.write(`size: our code takes ${own} bytes gzipped, expected 1 to ${budget}\n`);
  process.exitCode = 1;
}
