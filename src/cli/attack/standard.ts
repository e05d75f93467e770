import { join } from "node:path";
import { Classifier } from "../../classify/classifier.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { evaluate } from "../../evaluate/evaluate.ts";
import { environmentOf } from "../../evaluate/record.ts";
import { assembleReport } from "../../evaluate/report/assemble.ts";
import { renderReport } from "../../evaluate/report/page.ts";
import { type RobustnessReport, renderRobustness } from "../../evaluate/robustness/report.ts";
import { runSuite } from "../../evaluate/robustness/run-suite.ts";
import { standardEpsilons } from "../../evaluate/robustness/suite.ts";
import { printJson, printLine } from "../output.ts";
import type { AttackCommandOptions } from "./command-options.ts";
import { type LoadedModel, loadForAttack } from "./model.ts";
import { withAttackConsole } from "./progress.ts";
import { type AttackSource, attackSource } from "./record.ts";
import { loadSamples } from "./samples.ts";

/** Images of a quick run, where there are as many. */
const quickCount = 64;

/** The fixed suite: robustness.json and robustness.html in the folder, attacks cached beside them. */
export async function attackStandard(loaded: LoadedModel, options: AttackCommandOptions): Promise<void> {
  refuseOptionsOfOneAttack(options);
  const { out, seed, epsilon, epsilonL2, chunk, quick, count } = options;
  if (quick && count !== undefined) throw new UserError(`--quick takes ${quickCount} images; leave out --count ${count}, or --quick`);
  const { data, samples } = await loadSamples(loaded, options.data, { ...options, ...(quick ? { usual: quickCount } : {}) });
  const twin = options.twin === undefined ? undefined : loadForAttack(options.twin, options.percentile?.slice(0, 1), options);
  requireTwin(loaded, twin);
  const epsilons = { linf: epsilon ?? standardEpsilons.linf, l2: epsilonL2 ?? standardEpsilons.l2 };
  const kept = out === undefined ? "nothing was kept: --out keeps finished parts" : `the same command goes on with what is in ${out}`;
  const robustness = await withAttackConsole(kept, ({ checkpoint, show }) =>
    runSuite(loaded, samples, {
      data: data.name,
      head: loaded.card.model.head,
      thresholds: loaded.thresholds,
      ...(twin ? { twin } : {}),
      epsilons,
      seed,
      ...(out === undefined ? {} : { folder: join(out, "attacks") }),
      ...(chunk === undefined ? {} : { chunkSize: chunk }),
      checkpoint,
      onProgress: ({ id }, index, total, progress) => show(`${index + 1}/${total} ${id}`, progress, data.count),
    }),
  );
  const source = attackSource(loaded, data);
  if (out !== undefined) {
    writeFileAtomic(join(out, "robustness.json"), `${JSON.stringify({ ...source, robustness }, null, 2)}\n`);
    writeFileAtomic(join(out, "robustness.html"), await page(loaded, data, source, robustness, options));
  }
  await Promise.all([loaded.model.release(), twin?.model.release()]);
  if (options.json) return printJson({ ...source, robustness });
  printLine(renderRobustness(robustness));
  if (out !== undefined) printLine(`\n${join(out, "robustness.html")} and robustness.json`);
}

function refuseOptionsOfOneAttack(options: AttackCommandOptions): void {
  const { attack, carryOver, targeted, targets, criterion, grid, gridRows, set } = options;
  const ofOne = { attack, "carry-over": carryOver, targeted, targets, criterion, grid, "grid-rows": gridRows, set };
  const given = Object.entries(ofOne).filter(([, value]) => value !== undefined);
  if (given.length === 0) return;
  throw new UserError(`--standard: the suite is fixed; leave out ${given.map(([name]) => `--${name}`).join(", ")}, or --standard`);
}

function requireTwin({ model, card }: LoadedModel, twin: LoadedModel | undefined): void {
  if (!twin) return;
  const { channels, height, width } = model.shape;
  const other = twin.model.shape;
  if (
    other.channels === channels &&
    other.height === height &&
    other.width === width &&
    twin.card.classNames.join() === card.classNames.join()
  )
    return;
  throw new UserError(
    `--twin ${twin.path}: expected a model of the same classes and of images ${channels} x ${height} x ${width}, got one of ${other.channels} x ${other.height} x ${other.width} and classes ${twin.card.classNames.join(", ")}`,
  );
}

/** The report of the same images, with what attacks did to them. */
async function page(
  { path }: LoadedModel,
  data: ImageSet,
  { circumstances, modelFile }: AttackSource,
  robustness: RobustnessReport,
  { percentile, provider, threads }: AttackCommandOptions,
): Promise<string> {
  const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
  const run = await evaluate(classifier, data, { ...(percentile ? { percentiles: percentile } : {}), model: path });
  await classifier.release();
  const { card, logPriors } = classifier;
  const report = await assembleReport({
    title: `${card.model.head === "sdim" ? "SDIM" : "Softmax"} on ${data.name}, under attack`,
    createdAt: circumstances.at,
    card,
    environment: environmentOf(circumstances, modelFile),
    history: [],
    evaluation: run.evaluation,
    inDistribution: { data, classification: run.inDistribution },
    outOfDistribution: [],
    logPriors,
  });
  return renderReport({ ...report, robustness });
}
