import { type Command, InvalidArgumentError } from "commander";
import { messageOf } from "../../core/errors.ts";
import { ruledTable } from "../../core/tables.ts";
import { percent } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { type ScoreSummary, score } from "../../score/score.ts";
import { parseShard, type Shard } from "../../score/shard.ts";
import { interruptible } from "../interrupt.ts";
import { machineOptions, percentileOption } from "../options.ts";
import { duration, note, ProgressLine, printJson, printLine } from "../output.ts";

interface ScoreCommandOptions {
  readonly out: string;
  readonly shard?: Shard;
  readonly strict?: boolean;
  readonly percentile?: number;
  readonly classLogLikelihoods?: boolean;
  readonly force?: boolean;
  readonly restart?: boolean;
  readonly provider: Provider;
  readonly threads?: number;
  readonly json?: boolean;
}

function shard(text: string): Shard {
  try {
    return parseShard(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

export function addScore(program: Command): void {
  const command = program
    .command("score <model> <input>")
    .summary("classify any number of image files into a table")
    .description(
      "Classifies the images of a folder (and of its folders), of a text list (a path per line; `-`: standard input) or of a CSV with a `file` column into a CSV, JSON lines or Parquet file: file, label, accepted, logLikelihood, threshold, error. The verdicts are those of `sdim predict`.  Rows are kept in OUT.partial.jsonl as they come. A run that was stopped or killed goes on after them when its command is repeated; OUT appears when it is complete. A file that cannot be read is a row with its error.",
    )
    .requiredOption("--out <file>", "results: .csv, .jsonl or .parquet")
    .option("--shard <i/n>", "only part i of n (1/4, 2/4, ...); a file's name decides its part", shard)
    .addOption(percentileOption())
    .option("--class-log-likelihoods", "also the log-likelihood of every class")
    .option("--strict", "end at the first file that cannot be read")
    .option("--force", "replace results that are there")
    .option("--restart", "drop the rows kept from a stopped run, and begin anew")
    .option("--json", "print the summary as JSON on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim score models/mnist/model.onnx samples/images --out results.csv\n  $ find /photos -name '*.jpg' | sdim score model.onnx - --out results.jsonl\n  $ sdim score model.onnx photos --shard 2/8 --out results-2.parquet --class-log-likelihoods",
    );
  machineOptions(command).action(async (model: string, input: string, options: ScoreCommandOptions) => {
    const line = new ProgressLine();
    let summary: ScoreSummary;
    try {
      summary = await interruptible((signal) =>
        score(model, input, {
          out: options.out,
          ...(options.shard === undefined ? {} : { shard: options.shard }),
          ...(options.percentile === undefined ? {} : { percentile: options.percentile }),
          isStrict: options.strict ?? false,
          withClassLogLikelihoods: options.classLogLikelihoods ?? false,
          force: options.force ?? false,
          restart: options.restart ?? false,
          provider: options.provider,
          ...(options.threads === undefined ? {} : { threads: options.threads }),
          signal,
          onProgress: ({ files, broken, filesPerSecond }) =>
            line.show(`${files} files${broken > 0 ? `, ${broken} broken` : ""}, ${filesPerSecond.toFixed(0)} files/s`),
        }),
      );
    } finally {
      line.end();
    }
    if (options.json) printJson(summary);
    else print(summary);
  });
}

function print(summary: ScoreSummary): void {
  const { out, files, resumed, broken, accepted, acceptedShare, classes, ignored, seconds, filesPerSecond } = summary;
  const earlier = resumed > 0 ? `, ${resumed} of them in an earlier run` : "";
  printLine(`${out}: ${files} files${earlier}; ${duration(seconds)}, ${filesPerSecond.toFixed(0)} files/s`);
  if (files === 0) note("no image file was found there: the results have no row");
  if (acceptedShare !== null) printLine(`accepted  ${accepted} (${percent(acceptedShare)})`);
  if (broken > 0) printLine(`broken    ${broken}: see the column error`);
  const passedOver = Object.entries(ignored).map(([kind, count]) => `${count} ${kind}`);
  if (passedOver.length > 0) printLine(`not images, passed over: ${passedOver.join(", ")}`);
  const rows = classes
    .filter(({ count }) => count > 0)
    .map(({ label, count, rejected }) => [label, String(count), String(rejected), percent(rejected / count)]);
  if (rows.length > 0) for (const text of ruledTable([["class", "files", "rejected", ""], ...rows])) printLine(text);
}
