import { existsSync, readdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { Classifier } from "../../classify/classifier.ts";
import { commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { packageVersion } from "../../core/version.ts";
import { loadDataset } from "../../data/registry.ts";
import { evaluate } from "../../evaluate/evaluate.ts";
import { displayOf, evaluationRecord } from "../../evaluate/record.ts";
import { assembleReport } from "../../evaluate/report/assemble.ts";
import { renderReport } from "../../evaluate/report/page.ts";
import { renderTable } from "../../evaluate/summary.ts";
import { defaultThreads, runtimeVersion } from "../../runtime/session.ts";
import { hasCheckpoint, readPosition, sameConfig } from "../../train/checkpoint.ts";
import { resolveConfig, type TrainConfig } from "../../train/config.ts";
import { lockName } from "../../train/lock.ts";
import { duration, note, ProgressLine, printLine } from "../output.ts";
import { recordMeasured, trainWithProgress } from "./train.ts";

/** What one leaves that is killed before its first checkpoint. */
const ofBeginning = ["config.json", "metrics.jsonl", lockName];

/** What is written last. */
const reportName = "report.html";

export function addQuickstart(program: Command): void {
  program
    .command("quickstart")
    .summary("train on all of MNIST, show it garments, write a report")
    .description(
      "Trains SDIM ResNet10 on the 60,000 MNIST digits, calibrates it, measures it on the test digits and on 1,000 FashionMNIST garments, and writes a report. Stopped half way, it goes on where it was.",
    )
    .option("--out <folder>", "folder of the run", "runs/quickstart")
    .addHelpText("after", "\nExample:\n  $ sdim quickstart --out runs/quickstart")
    .action(async ({ out }: { readonly out: string }) => runQuickstart(out));
}

/** A quickstart that was stopped before its report is taken up again; a finished one is made anew. Errors: UserError when the folder holds something else. */
function isToResume(out: string, config: TrainConfig): boolean {
  if (!hasCheckpoint(out)) {
    if (!existsSync(out) || readdirSync(out).every((name) => ofBeginning.includes(name))) return false;
  } else if (sameConfig(readPosition(out).config, config)) return !existsSync(join(out, reportName));
  throw new UserError(`${out} holds something else: choose another folder (--out)`);
}

async function runQuickstart(out: string): Promise<void> {
  const config = resolveConfig({}, "quick");
  const resume = isToResume(out, config);
  const digits = await loadDataset("mnist", "train");
  const test = await loadDataset("mnist", "test");
  const garments = await loadDataset("fashion-mnist-sample", "test");
  if (!resume) rmSync(join(out, reportName), { force: true });
  const machine = { out, resume, force: true };
  const { model, modelPath, history, elapsedSeconds } = await trainWithProgress(machine, config, digits);
  const classifier = await Classifier.load(model);
  const line = new ProgressLine();
  const { evaluation, inDistribution, outOfDistribution } = await evaluate(classifier, test, {
    ood: [garments],
    percentiles: [1, 2],
    model: modelPath,
    onProgress: (what, done, total) => line.show(`scoring ${what}: ${done} of ${total}`, done === total),
  });
  line.end();
  await classifier.release();
  const finished = recordMeasured(model, modelPath, evaluation);
  const report = await assembleReport({
    title: "SDIM on MNIST",
    createdAt: new Date().toISOString(),
    card: finished.card,
    environment: {
      sdim: packageVersion(),
      node: process.version,
      "ONNX Runtime": runtimeVersion(),
      machine: `${cpus()[0]?.model ?? "unknown processor"}, ${defaultThreads()} threads`,
      "time to train and calibrate": duration(elapsedSeconds),
    },
    history,
    evaluation,
    inDistribution: { data: test, classification: inDistribution },
    outOfDistribution: [{ data: garments, classification: outOfDistribution[0]! }],
    logPriors: classifier.logPriors,
  });
  const record = evaluationRecord(commandLine("sdim", process.argv.slice(2)), modelPath, finished.card, evaluation);
  writeFileAtomic(join(out, "evaluation.json"), `${JSON.stringify({ ...record, display: displayOf(report) }, null, 2)}\n`);
  const reportPath = join(out, reportName);
  writeFileAtomic(reportPath, renderReport(report));
  printLine(renderTable(evaluation));
  note(`trained and calibrated in ${duration(elapsedSeconds)}\nmodel   ${modelPath}\nreport  ${reportPath}`);
  note(`try     npx sdim predict ${modelPath} samples/images/digit.png samples/images/shirt.png`);
}
