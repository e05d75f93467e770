import { join } from "node:path";
import type { Attack, AttackResult, Samples } from "../../attacks/attack.ts";
import { makeAttack } from "../../attacks/attacks.ts";
import { type Criterion, criteria } from "../../attacks/criteria.ts";
import { attackInChunks } from "../../attacks/run-folder.ts";
import { UserError } from "../../core/errors.ts";
import { requireWritable, writeFileAtomic } from "../../core/files.ts";
import { oneOf } from "../../core/names.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { adversarialGrid, requireRows } from "../../evaluate/robustness/grid.ts";
import { type AttackSummary, summariseAttack } from "../../evaluate/robustness/summary.ts";
import { renderAttack } from "../../evaluate/robustness/table.ts";
import { withTargets } from "../../evaluate/robustness/targets.ts";
import { note, printJson, printLine } from "../output.ts";
import type { AttackCommandOptions } from "./command-options.ts";
import type { LoadedModel } from "./model.ts";
import { withAttackConsole } from "./progress.ts";
import { type AttackSource, attackSource } from "./record.ts";
import { loadSamples } from "./samples.ts";

/** What `sdim attack` writes. */
export interface AttackRecord extends AttackSource {
  /** How targets were chosen; null for an untargeted attack. */
  readonly targets: string | null;
  /** Images that are of the class aimed at themselves: in none of the numbers. */
  readonly leftOut: number;
  readonly attack: AttackSummary;
}

/** One attack: a table or JSON on stdout; in the folder result.json and the finished parts; a grid of images. */
export async function attackOnce(
  loaded: LoadedModel,
  settings: Readonly<Record<string, unknown>>,
  options: AttackCommandOptions,
): Promise<void> {
  if (options.attack === undefined) throw new UserError("attack: say which with --attack (--list shows them), or --standard for the suite");
  const attack = makeAttack(options.attack, settings);
  const criterion = namedCriterion(options.criterion);
  refuseOptionsOfTheSuite(options);
  refuseWithoutEffect(attack, options);
  if (options.grid !== undefined) requireGrid(options.grid, options.gridRows);
  const rule = targetRule(options);
  const { data, samples } = await loadSamples(loaded, options.data, options);
  const { seed, out, epsilon, carryOver = false, chunk } = options;
  const { chosen, sources, leftOut } =
    rule === null ? { chosen: samples, leftOut: 0 } : await targetedSamples(loaded, samples, data, rule, seed);
  const kept = out === undefined ? "nothing was kept: --out keeps finished parts" : `the same command goes on with what is in ${out}`;
  const result = await withAttackConsole(kept, ({ checkpoint, show }) =>
    attackInChunks(loaded.model, chosen, attack, {
      model: loaded.sha256,
      seed,
      ...(epsilon ? { epsilons: epsilon } : {}),
      carryOver,
      ...(criterion ? { criterion } : {}),
      ...(out === undefined ? {} : { folder: out }),
      ...(chunk === undefined ? {} : { chunkSize: chunk }),
      checkpoint,
      onProgress: (progress) => show(attack.name, progress, chosen.labels.length),
    }),
  );
  const summary = await summariseAttack(loaded.model, result, loaded.thresholds, sources);
  const record: AttackRecord = { ...attackSource(loaded, data), targets: rule, leftOut, attack: summary };
  if (out !== undefined) writeFileAtomic(join(out, "result.json"), `${JSON.stringify(record, null, 2)}\n`);
  if (options.json) printJson(record);
  else printLine(renderAttack(summary, leftOut));
  if (options.grid !== undefined) await writeGrid(options.grid, loaded, chosen, result, options.gridRows);
  await loaded.model.release();
}

function namedCriterion(name: string | undefined): Criterion | undefined {
  return name === undefined ? undefined : criteria.get(oneOf("criterion", name, [...criteria.keys()]));
}

function refuseOptionsOfTheSuite({ twin, quick, epsilonL2 }: AttackCommandOptions): void {
  const given = Object.entries({ twin, quick, "epsilon-l2": epsilonL2 }).filter(([, value]) => value !== undefined);
  if (given.length > 0) throw new UserError(`${given.map(([name]) => `--${name}`).join(", ")}: for --standard only`);
}

function refuseWithoutEffect({ name, kind }: Attack, { carryOver, grid, gridRows }: AttackCommandOptions): void {
  if (carryOver && kind === "minimal") {
    throw new UserError(`--carry-over: ${name} looks for the nearest adversarial, which is the same for every epsilon; leave it out`);
  }
  if (gridRows !== undefined && grid === undefined) throw new UserError("--grid-rows: rows of which picture? Name it with --grid");
}

/** Before the attack, which may take hours. Errors: UserError when there are too many rows, or no file can be written there. */
function requireGrid(path: string, rows: number | undefined): void {
  requireRows(rows);
  requireWritable(path);
}

/** --targeted alone: random. --targets alone means --targeted. */
const targetRule = ({ targeted, targets }: AttackCommandOptions): string | null => targets ?? (targeted ? "random" : null);

async function targetedSamples(
  { model, card }: LoadedModel,
  samples: Samples,
  data: ImageSet,
  rule: string,
  seed: number,
): Promise<{ chosen: Samples; sources: Int32Array; leftOut: number }> {
  const { samples: chosen, sources } = await withTargets(model, samples, card.classNames, rule, seed);
  const leftOut = data.count - new Set(sources).size;
  if (leftOut > 0) note(`left out ${leftOut} images that are of class ${rule} themselves`);
  return { chosen, sources, leftOut };
}

/** Of the largest epsilon: there is most to see. */
async function writeGrid(
  path: string,
  { model, card }: LoadedModel,
  samples: Samples,
  result: AttackResult,
  count: number | undefined,
): Promise<void> {
  const outcome = result.outcomes.reduce((a, b) => ((b.epsilon ?? 0) > (a.epsilon ?? 0) ? b : a));
  const options = { classNames: card.classNames, ...(count === undefined ? {} : { count }) };
  writeFileAtomic(path, await adversarialGrid(result, outcome, samples.images, model.shape, options));
}
