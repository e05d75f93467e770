import { join } from "node:path";
import type { AttackResult, Samples } from "../../attacks/attack.ts";
import { norms } from "../../attacks/distance.ts";
import type { AttackedModel } from "../../attacks/model.ts";
import { NothingToImitate } from "../../attacks/problem.ts";
import { requireEpsilon } from "../../attacks/requirements.ts";
import { attackInChunks, type ChunkProgress } from "../../attacks/run-folder.ts";
import { transfer } from "../../attacks/transfer.ts";
import type { ThresholdSet } from "../../classify/card.ts";
import { UserError } from "../../core/errors.ts";
import type { Head } from "../../nn/classifier.ts";
import { type RobustnessReport, robustnessReport } from "./report.ts";
import {
  attackOf,
  carriesOver,
  criterionOf,
  type SuiteAttack,
  type SuiteEntry,
  standardEpsilons,
  suiteFor,
  transferEntry,
} from "./suite.ts";
import { summariseAttack } from "./summary.ts";
import type { RobustnessWarning } from "./warnings.ts";
import { type Before, before, type Trial, trialsOf } from "./worst-case.ts";

/** A model and the SHA-256 of its file. */
export interface IdentifiedModel {
  readonly model: AttackedModel;
  readonly sha256: string;
}

export interface SuiteOptions {
  readonly data: string;
  readonly head: Head;
  /** Rejection is judged by each, attacks meet the first, which are in force in the model. */
  readonly thresholds: readonly ThresholdSet[];
  /** A model to transfer attacks from. */
  readonly twin?: IdentifiedModel & { readonly path: string };
  readonly epsilons?: { readonly linf: readonly number[]; readonly l2: readonly number[] };
  readonly seed?: number;
  /** Attacks keep their parts in folders in it. */
  readonly folder?: string;
  readonly chunkSize?: number;
  /** Default: those that fit the model. */
  readonly entries?: readonly SuiteEntry[];
  readonly onProgress?: (entry: SuiteEntry, index: number, count: number, progress: ChunkProgress) => void;
  readonly checkpoint?: () => void;
}

/** Runs the suite. Errors: those of `attackInChunks`; UserError for epsilons that are none. */
export async function runSuite({ model, sha256 }: IdentifiedModel, samples: Samples, options: SuiteOptions): Promise<RobustnessReport> {
  const { data, head, thresholds, twin, epsilons = standardEpsilons, seed = 0, folder, chunkSize, checkpoint } = options;
  const { entries = suiteFor(head, model.classes) } = options;
  for (const distance of norms) for (const epsilon of epsilons[distance]) requireEpsilon(distance, epsilon, model.shape);
  const planned = [...entries, ...(twin ? [transferEntry] : [])];
  const attacks: SuiteAttack[] = [];
  const trials: Trial[] = [];
  const leftOut: RobustnessWarning[] = [];
  let start: Before | undefined;
  for (const [index, entry] of planned.entries()) {
    const attack = attackOf(entry);
    const isTransferred = twin !== undefined && entry.role === "transfer";
    const attacked = isTransferred ? twin : { model, sha256 };
    // The attack on the twin knows nothing of the criterion here.
    const criterion = isTransferred ? undefined : criterionOf(entry);
    const made = await madeOrLeftOut(entry, leftOut, () =>
      attackInChunks(attacked.model, samples, attack, {
        model: attacked.sha256,
        seed,
        ...(attack.distance === "l0" ? {} : { epsilons: epsilons[attack.distance] }),
        ...(criterion ? { criterion } : {}),
        carryOver: carriesOver(entry),
        ...(folder === undefined ? {} : { folder: join(folder, entry.id) }),
        ...(chunkSize === undefined ? {} : { chunkSize }),
        ...(checkpoint ? { checkpoint } : {}),
        onProgress: (progress) => options.onProgress?.(entry, index, planned.length, progress),
      }),
    );
    if (!made) continue;
    const result: AttackResult = isTransferred ? await transfer(made, samples, model, criterionOf(entry)) : made;
    if (!isTransferred) start ??= before(result);
    attacks.push({ entry, summary: await summariseAttack(model, result, thresholds) });
    trials.push(...trialsOf(entry.role, result));
  }
  if (!start) throw new UserError("suite: expected at least one attack on the model itself");
  const percentile = thresholds[0]!.percentile;
  return robustnessReport({ data, percentile, twin: twin?.path ?? null, start, attacks, trials, epsilons, leftOut });
}

/** Undefined for an attack that has nothing to imitate, with a warning that says so. */
async function madeOrLeftOut(
  { id }: SuiteEntry,
  leftOut: RobustnessWarning[],
  make: () => Promise<AttackResult>,
): Promise<AttackResult | undefined> {
  try {
    return await make();
  } catch (error) {
    if (!(error instanceof NothingToImitate)) throw error;
    leftOut.push({ kind: "left-out", text: `${id} was left out: ${error.message}` });
    return undefined;
  }
}
