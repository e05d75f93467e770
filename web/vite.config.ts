import { existsSync, readdirSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";
import { readModelFile } from "../src/classify/model-file.ts";
import { runFiles } from "./built-runs.ts";

const root = new URL("..", import.meta.url).pathname;

/**
 * The shipped models, as a server without code can give them: `models.json` in the form of our server's `v1/models`, the model files, what
 * was measured of them, and pictures to try.
 */
function shippedModels(): Plugin {
  return {
    name: "shipped-models",
    apply: "build",
    generateBundle() {
      const emit = (fileName: string, source: string | Uint8Array) => this.emitFile({ type: "asset", fileName, source });
      const models = [];
      for (const name of readdirSync(`${root}models`).sort()) {
        const [model, evaluation] = [`models/${name}/model.onnx`, `models/${name}/evaluation.json`];
        if (!existsSync(`${root}${model}`)) continue;
        const { card } = readModelFile(`${root}${model}`);
        emit(model, readFileSync(`${root}${model}`));
        if (existsSync(`${root}${evaluation}`)) emit(evaluation, readFileSync(`${root}${evaluation}`));
        models.push({
          name,
          classNames: card.classNames,
          file: model,
          card,
          ...(existsSync(`${root}${evaluation}`) ? { evaluation } : {}),
        });
      }
      emit("models.json", JSON.stringify({ models }));
      for (const name of readdirSync(`${root}samples/images`)) emit(`samples/${name}`, readFileSync(`${root}samples/images/${name}`));
    },
  };
}

/** With SDIM_RUNS=FOLDER: its runs as they are now. */
function runsOf(folder: string | undefined): Plugin {
  return {
    name: "runs",
    apply: "build",
    generateBundle() {
      for (const file of folder === undefined ? [] : runFiles(folder)) this.emitFile({ type: "asset", ...file });
    },
  };
}

export default defineConfig({
  root: `${root}web`,
  // Relative, so that the page works in any folder of any host.
  base: "./",
  plugins: [shippedModels(), runsOf(process.env["SDIM_RUNS"])],
  build: {
    outDir: `${root}dist/web`,
    emptyOutDir: true,
    target: "es2022",
    // A data: address would not get past the page's own content policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 300,
    reportCompressedSize: false,
    // zod places pure annotations where Rollup does not read them; it loses nothing by it.
    rollupOptions: { onwarn: (warning, warn) => warning.code === "INVALID_ANNOTATION" || warn(warning) },
  },
});
