import { type Command, InvalidArgumentError, Option } from "commander";
import pino from "pino";
import { readApiKey } from "../../server/auth.ts";
import { nameModels } from "../../server/model-names.ts";
import { defaultLimits, defaultOptions, longestTimerMs } from "../../server/options.ts";
import { serve } from "../../server/serve.ts";
import { positiveWholeNumber, wholeNumber, wordList } from "../options.ts";
import { printLine } from "../output.ts";

interface ServeCommandOptions {
  readonly host: string;
  readonly port: number;
  readonly workers?: number;
  readonly maxBatch: number;
  readonly maxWaitMs: number;
  readonly maxBodyMb: number;
  readonly maxJsonMb: number;
  readonly maxImages: number;
  readonly maxPixels: number;
  readonly maxQueue: number;
  readonly maxPendingMb: number;
  readonly timeoutMs: number;
  readonly apiKeyFile?: string;
  readonly cors?: readonly string[];
  readonly runs?: string;
  readonly reloadMs: number;
  readonly drainDelayMs: number;
  readonly logLevel: string;
}

const megabyte = 2 ** 20;

export function addServe(program: Command): void {
  program
    .command("serve <models...>")
    .summary("answer over HTTP: classify, models, metrics, Open Inference Protocol")
    .description(
      "Serves model files over HTTP. A model is called as its file, or as its folder where the file is called model.onnx; NAME=FILE gives it another name. The log goes to stderr.",
    )
    .option("--host <address>", "to listen on", "127.0.0.1")
    .option("--port <n>", "to listen on, 0 for any", port, 8080)
    .option("--workers <n>", "inference threads (default: one per core)", positiveWholeNumber)
    .option("--max-batch <images>", "images of a batch at most", positiveWholeNumber, defaultOptions.maxBatch)
    .option("--max-wait-ms <ms>", "an image waits for others at most", milliseconds, defaultOptions.maxWaitMs)
    .option("--max-body-mb <n>", "size of a body", positiveWholeNumber, defaultLimits.bodyBytes / megabyte)
    .option("--max-json-mb <n>", "size of a JSON body", positiveWholeNumber, defaultLimits.jsonBytes / megabyte)
    .option("--max-images <n>", "images per request", positiveWholeNumber, defaultLimits.imagesPerRequest)
    .option("--max-pixels <n>", "pixels per image", positiveWholeNumber, defaultLimits.pixelsPerImage)
    .option(
      "--max-queue <images>",
      "images of all requests under way; more are refused (503)",
      positiveWholeNumber,
      defaultLimits.queuedImages,
    )
    .option(
      "--max-pending-mb <n>",
      "bodies and unpacked pixels of all requests under way",
      positiveWholeNumber,
      defaultLimits.pendingBytes / megabyte,
    )
    .option("--timeout-ms <ms>", "for a request, from arrival to answer", positiveMilliseconds, defaultLimits.requestMs)
    .option("--api-key-file <file>", "holds the key that every request must have; or set SDIM_API_KEY")
    .option(
      "--cors <origin,...>",
      "origins whose pages may ask, such as https://example.com; * for any (default: the server's own alone)",
      wordList,
    )
    .option("--runs <folder>", "also show the training runs in it, finished and under way, in the page and under /v1/runs")
    .option("--reload-ms <ms>", "between two looks whether model files have changed, 0 for never", milliseconds, defaultOptions.reloadMs)
    .option("--drain-delay-ms <ms>", "after SIGTERM, before no more connections are taken", milliseconds, 0)
    .addOption(new Option("--log-level <level>", "of the log").choices(["debug", "info", "warn", "error", "silent"]).default("info"))
    .addHelpText(
      "after",
      "\nExample:\n  $ sdim serve models/mnist/model.onnx garments=models/fashion-mnist/model.onnx\n  $ curl -F image=@samples/images/digit.png http://127.0.0.1:8080/v1/models/mnist/classify",
    )
    .action(async (paths: readonly string[], options: ServeCommandOptions) => {
      const apiKey = readApiKey(options.apiKeyFile, process.env["SDIM_API_KEY"]);
      const logger = pino({ name: "sdim", level: options.logLevel }, pino.destination(2));
      await serve(
        nameModels(paths),
        {
          ...options,
          workers: options.workers ?? defaultOptions.workers,
          limits: {
            bodyBytes: options.maxBodyMb * megabyte,
            jsonBytes: options.maxJsonMb * megabyte,
            imagesPerRequest: options.maxImages,
            pixelsPerImage: options.maxPixels,
            requestMs: options.timeoutMs,
            queuedImages: options.maxQueue,
            pendingBytes: options.maxPendingMb * megabyte,
          },
          ...(apiKey === undefined ? {} : { apiKey }),
          ...(options.cors === undefined ? {} : { corsOrigins: options.cors }),
          ...(options.runs === undefined ? {} : { runsFolder: options.runs }),
          onListening: (url) => printLine(`listening on ${url}`),
        },
        logger,
      );
    });
}

const highestPort = 65_535;

function port(text: string): number {
  const number = wholeNumber(text);
  if (number <= highestPort) return number;
  throw new InvalidArgumentError(`expected a port from 0 to ${highestPort}, got ${text}`);
}

function milliseconds(text: string): number {
  const ms = wholeNumber(text);
  if (ms <= longestTimerMs) return ms;
  throw new InvalidArgumentError(`expected at most ${longestTimerMs} ms (24.8 days), got ${text}`);
}

function positiveMilliseconds(text: string): number {
  positiveWholeNumber(text);
  return milliseconds(text);
}
