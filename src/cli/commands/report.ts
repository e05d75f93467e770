import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { readModelFile } from "../../classify/model-file.ts";
import { UserError } from "../../core/errors.ts";
import { requireSpared, writeFileAtomic } from "../../core/files.ts";
import { type ReadRecord, readRecord } from "../../evaluate/record-schema.ts";
import { reportFromRecord } from "../../evaluate/report/from-record.ts";
import { renderReport, renderTraining } from "../../evaluate/report/page.ts";
import type { RobustnessReport } from "../../evaluate/robustness/report.ts";
import { OfAnotherModel, readRobustness } from "../../evaluate/robustness/report-schema.ts";
import { evaluationPath, robustnessPath } from "../../evaluate/run-view.ts";
import { percent } from "../../evaluate/summary.ts";
import { filesOfRun, isRun, type Run, readRun } from "../../train/runs.ts";
import { duration, note, printLine } from "../output.ts";

export function addReport(program: Command): void {
  program
    .command("report <run|evaluation>")
    .summary("make a page to look at and print of a run or an evaluation")
    .description(
      "Makes one self-contained HTML page (light and dark, for screens, phones and paper) of the JSON that is there: of a run's folder its training curves and, if it has an evaluation.json, what was measured (with its robustness.json, what attacks did); of a file that `sdim evaluate --out` wrote, that evaluation, with the curves of the run in whose folder it lies. No images are read: histograms and examples are in the evaluation.",
    )
    .option("--out <file>", "where to write it (default: report.html in the run's folder, or beside the evaluation with .html for .json)")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim report runs/a\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --out runs/a/evaluation.json && sdim report runs/a\n  $ sdim report evaluation.json --out page.html",
    )
    .action((source: string, { out }: { readonly out?: string }) => {
      const found = statSync(source, { throwIfNoEntry: false });
      if (!found) throw new UserError(`${source}: expected the folder of a run, or a file of sdim evaluate --out; there is no such thing`);
      const path = out ?? (found.isDirectory() ? join(source, "report.html") : `${source.replace(/\.json$/i, "")}.html`);
      const folder = found.isDirectory() ? source : dirname(source);
      requireSpared("--out", path, [source, evaluationPath(folder), robustnessPath(folder), ...filesOfRun(folder)]);
      writeFileAtomic(path, found.isDirectory() ? pageOfRun(source) : pageOfEvaluation(source));
      printLine(path);
    });
}

function pageOfRun(folder: string): string {
  const run = readRun(folder);
  if (run.state.kind === "broken") note(`${folder}: ${run.state.reason}`);
  const evaluation = evaluationPath(folder);
  return existsSync(evaluation) ? pageOfEvaluation(evaluation, run) : pageOfTraining(run);
}

function pageOfEvaluation(path: string, run = runAround(path)): string {
  const record = readRecord(path);
  if (!record.display) {
    note(
      `${path}: has no histograms and examples; an evaluation with --out has them: ${record.circumstances.command.startsWith("sdim evaluate") ? record.circumstances.command : `sdim evaluate ${record.modelFile.path} --data ${record.evaluation.data} --out FILE`}`,
    );
  }
  const robustness = run && robustnessOf(run, record);
  return renderReport({
    ...reportFromRecord(record, run ?? { history: [], epochs: [] }),
    ...(robustness ? { robustness } : {}),
  });
}

/** Undefined, with a note, where attacks were made on another model file than the one evaluated. */
function robustnessOf({ folder }: Run, { modelFile }: ReadRecord): RobustnessReport | undefined {
  const path = robustnessPath(folder);
  if (!existsSync(path)) return undefined;
  try {
    return readRobustness(path, modelFile.sha256);
  } catch (error) {
    if (!(error instanceof OfAnotherModel)) throw error;
    note(`left out: ${error.message}`);
    return undefined;
  }
}

const runAround = (path: string): Run | undefined => (isRun(dirname(path)) ? readRun(dirname(path)) : undefined);

function pageOfTraining(run: Run): string {
  const model = join(run.folder, "model.onnx");
  const card = existsSync(model) && run.state.kind === "finished" ? readModelFile(model).card : undefined;
  return renderTraining({
    title: `Training in ${run.folder}`,
    createdAt: statSync(run.folder).mtime.toISOString(),
    lead: sentences(run),
    history: run.history,
    epochs: run.epochs,
    environment: { folder: run.folder },
    ...(card ? { card } : {}),
  });
}

function sentences({ state, data, history, elapsedSeconds, measured }: Run): string[] {
  const last = history.at(-1);
  const trained = `Trained${data === null ? "" : ` on ${data}`}${last ? ` for ${last.epoch.toFixed(2)} epochs` : ""}${elapsedSeconds === null ? "" : ` in ${duration(elapsedSeconds)}`}.`;
  const states = {
    finished: "The training is finished.",
    running: "The training is under way.",
    stopped: "The training was stopped, and can be resumed.",
    broken: `The folder cannot be read in full: ${state.kind === "broken" ? state.reason : ""}.`,
  };
  const loss = last ? [`The loss went from ${history[0]!.loss.toPrecision(3)} to ${last.loss.toPrecision(3)}.`] : [];
  const accuracy = measured["testAccuracy"] ?? measured["validationAccuracy"];
  const known =
    accuracy === undefined
      ? []
      : [`Its model gets ${percent(accuracy)} of the ${measured["testAccuracy"] === undefined ? "held-out" : "test"} images right.`];
  return [trained, states[state.kind], ...loss, ...known, "There is no evaluation.json in the folder: sdim evaluate --out writes one."];
}
