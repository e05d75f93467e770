import type { Command } from "commander";
import { commandLine } from "../../core/circumstances.ts";
import { ruledTable } from "../../core/tables.ts";
import { percent } from "../../evaluate/summary.ts";
import type { TrainConfig } from "../../train/config.ts";
import { summaryOf } from "../../train/run-summary.ts";
import { differencesFrom, differingKeys, listRuns, type Run, readRun } from "../../train/runs.ts";
import { describeEpoch, duration, printJson, printLine } from "../output.ts";
import { plot, sparkline } from "../plot.ts";

interface JsonOption {
  readonly json?: boolean;
}

export function addRuns(program: Command): void {
  const command = program
    .command("runs")
    .summary("list, show and compare training runs")
    .description("What the folders of training runs hold: configs, losses, accuracies, and whether they are finished.")
    .addHelpText("after", "\nExamples:\n  $ sdim runs list runs\n  $ sdim runs show runs/a\n  $ sdim runs compare runs/a runs/b --json");
  command
    .command("list [folder]", { isDefault: true })
    .description("A line for every run in a folder (default: runs), with what its config has that the defaults have not.")
    .option("--json", "print it as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim runs list runs --json")
    .action((folder: string | undefined, { json }: JsonOption) => {
      const runs = listRuns(folder ?? "runs");
      if (json) return printJson(runs.map(withFolder));
      if (runs.length === 0) return printLine(`${folder ?? "runs"}: no runs`);
      const differences = (run: Run) => (run.config ? describeKeys(differencesFrom(run.config)) : "");
      printTable([...figures, { head: "config", of: differences }], runs);
    });
  command
    .command("show <run>")
    .description("One run: config, epochs and the curve of its loss.")
    .option("--json", "print it as JSON on stdout, with all records")
    .addHelpText("after", "\nExample:\n  $ sdim runs show runs/a")
    .action((folder: string, { json }: JsonOption) => {
      const run = readRun(folder);
      if (json) return printJson({ ...withFolder(run), history: run.history, epochs: run.epochs });
      show(run);
    });
  command
    .command("compare <runs...>")
    .description("Runs beside each other, with the config keys in which they differ.")
    .option("--json", "print it as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim runs compare runs/a runs/b")
    .action((folders: readonly string[], { json }: JsonOption) => {
      const runs = folders.map(readRun);
      const keys = differingKeys(runs.flatMap(({ config }) => (config ? [config] : [])));
      if (json) return printJson({ differingKeys: keys, runs: runs.map(withFolder) });
      compare(runs, keys);
    });
}

const withFolder = (run: Run) => ({ folder: run.folder, ...summaryOf(run) });

function describeState({ state }: Run): string {
  if (state.kind !== "stopped" && state.kind !== "running") return state.kind;
  return state.steps === null ? `${state.kind} at step ${state.step}` : `${state.kind} at ${state.step}/${state.steps}`;
}

const share = (fraction: number | null | undefined): string => percent(fraction ?? null);

interface Figure {
  readonly head: string;
  readonly of: (run: Run) => string;
}

const figures: readonly Figure[] = [
  { head: "run", of: ({ folder }) => folder },
  { head: "state", of: describeState },
  { head: "data", of: ({ data }) => data ?? "-" },
  { head: "epochs", of: (run) => String(Number(summaryOf(run).epochs.toFixed(2))) },
  { head: "loss", of: (run) => summaryOf(run).loss?.toFixed(3) ?? "-" },
  { head: "validation", of: (run) => share(summaryOf(run).validationAccuracy) },
  { head: "test", of: ({ measured }) => share(measured["testAccuracy"]) },
  { head: "time", of: ({ elapsedSeconds }) => (elapsedSeconds === null ? "-" : duration(elapsedSeconds)) },
];

function printTable(columns: readonly Figure[], runs: readonly Run[]): void {
  const rows = [columns.map(({ head }) => head), ...runs.map((run) => columns.map(({ of }) => of(run)))];
  for (const line of ruledTable(rows)) printLine(line);
  printBroken(runs);
}

/** A line for each: a config that is no run's has twenty things wrong with it. */
function printBroken(runs: readonly Run[]): void {
  for (const { folder, state } of runs) {
    if (state.kind !== "broken") continue;
    const [first, ...more] = state.reason.split("\n");
    printLine(`${folder}: ${first}${more.length === 0 ? "" : ` ... (all of it: ${commandLine("sdim", ["runs", "show", folder])})`}`);
  }
}

const describeKeys = (config: Partial<TrainConfig>): string =>
  Object.entries(config)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(" ");

function show(run: Run): void {
  const { folder, state, config, history, epochs, measured } = run;
  printLine(`${folder}: ${describeState(run)}${state.kind === "broken" ? `: ${state.reason}` : ""}`);
  printLine(`  config     ${config ? describeKeys(differencesFrom(config)) || "the defaults" : "cannot be read"}`);
  for (const { head, of } of figures.slice(2)) printLine(`  ${head.padEnd(10)} ${of(run)}`);
  for (const [name, value] of Object.entries(measured)) printLine(`  ${name}  ${value}`);
  for (const record of epochs) printLine(describeEpoch(record));
  if (history.length < 2) return;
  printLine("\nloss by step");
  const losses = history.map(({ loss }) => loss);
  for (const line of plot(losses, 72, 12, [String(history[0]!.step), String(history.at(-1)!.step)])) printLine(line);
}

function compare(runs: readonly Run[], keys: readonly (keyof TrainConfig)[]): void {
  const ofConfig = keys.map((key): Figure => ({ head: key, of: ({ config }) => (config ? JSON.stringify(config[key]) : "-") }));
  const curve: Figure = {
    head: "loss curve",
    of: ({ history }) =>
      sparkline(
        history.map(({ loss }) => loss),
        24,
      ),
  };
  // Sideways, as there are few runs and many figures.
  const rows = [...figures, ...ofConfig, curve].map(({ head, of }) => [head, ...runs.map(of)]);
  for (const line of ruledTable(rows)) printLine(line);
  printBroken(runs);
}
