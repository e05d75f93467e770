import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import type { Problem } from "./problem.ts";
import { indices, row, slices, takeRows } from "./rows.ts";

// The nearest adversarial in L2 by gradient descent without bounds, for a constant per sample that a binary search finds.

interface Settings {
  readonly loss: "margin" | "accepted";
  readonly confidence: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly binarySearchSteps: number;
  readonly initialConstant: number;
  readonly abortEarly: boolean;
  readonly constantTolerance: number;
}

/**
 * Steps and constants are foolbox's and the paper's, but for `steps`: 1,000 as in most of what is published, where theirs are 10,000; and for
 * `constantTolerance`, where theirs would be 0.
 */
export const carliniWagner: AttackDefinition = defineAttack({
  name: "cw-l2",
  about: "nearest adversarial in L2, of a margin of at least `confidence`",
  source: "Carlini & Wagner 2017",
  settings: z.strictObject({
    loss: z
      .enum(["margin", "accepted"])
      .default("margin")
      .describe("margin of the log-likelihoods (f6 of the paper), or accepted: of being wrong and accepted"),
    confidence: z.number().min(0).default(0).describe("kappa: the least margin, in nats of raw log-likelihood"),
    steps: z.int().min(1).default(1000).describe("gradient steps per constant"),
    learningRate: z.number().positive().default(0.01).describe("of Adam, in tanh space"),
    binarySearchSteps: z.int().min(1).default(9).describe("constants tried"),
    initialConstant: z
      .number()
      .positive()
      .default(1e-3)
      .describe("the first weight of the margin against the distance; ten times it while none is found"),
    constantTolerance: z
      .number()
      .min(0)
      .lt(1)
      .default(0.1)
      .describe("ends a sample's search when the constants that failed and succeeded are within this part of each other; 0: never"),
    abortEarly: z.boolean().default(true).describe("whether a constant is given up when the loss has not fallen for a tenth of the steps"),
  }),
  create: (settings) => ({
    kind: "minimal",
    distance: "l2",
    needs: "gradients",
    isAdaptive: settings.loss === "accepted",
    perturb: async (problem) => {
      const made = problem.images.slice();
      for (const group of slices(problem.count, groupSize)) {
        await searchConstants(problem, group, made, settings);
        problem.progress(problem.count - group.at(-1)! - 1);
      }
      return made;
    },
  }),
});

/** Samples worked on at once: whole batches of the model, and bounded memory. */
const groupSize = 128;

/** Nearest adversarials of one constant. */
interface Found {
  /** [n, size] */
  readonly images: Float32Array;
  /** Squared L2 distances, Infinity where none was found, [n]. */
  readonly squares: Float64Array;
}

/**
 * Per sample the constant is multiplied by ten until an adversarial is found, then halved between the largest that failed, l, and the
 * smallest that did not, u, until u - l <= tolerance * u. The nearest adversarial of all is kept, if the scoring pass confirms
 * it: gradients are computed by another graph, whose rounding may differ at a margin of 0.
 */
async function searchConstants(problem: Problem, group: readonly number[], made: Float32Array, settings: Settings): Promise<void> {
  const { size } = problem;
  const nearest = new Float64Array(group.length).fill(Number.POSITIVE_INFINITY);
  const constants = new Float64Array(group.length).fill(settings.initialConstant);
  const lower = new Float64Array(group.length);
  const upper = new Float64Array(group.length).fill(Number.POSITIVE_INFINITY);
  let searching = indices(group.length);
  for (let search = 0; search < settings.binarySearchSteps && searching.length > 0; search++) {
    // All samples end together: the part of the constants tried stands for as many samples finished.
    const open = problem.count - group[0]! - Math.floor((group.length * search) / settings.binarySearchSteps);
    const rows = searching.map((i) => group[i]!);
    const tried = Float64Array.from(searching, (i) => constants[i]!);
    const found = await descend(problem, rows, tried, settings, () => problem.progress(open));
    const candidates = indices(rows.length).filter((at) => found.squares[at]! < Number.POSITIVE_INFINITY);
    const { isAdversarial } = await problem.score(
      candidates.map((at) => rows[at]!),
      takeRows(found.images, size, candidates),
    );
    const confirmed = new Set(candidates.filter((_, k) => isAdversarial[k] === 1));
    for (const [at, i] of searching.entries()) {
      if (!confirmed.has(at)) {
        lower[i] = constants[i]!;
      } else {
        upper[i] = constants[i]!;
        if (found.squares[at]! < nearest[i]!) {
          nearest[i] = found.squares[at]!;
          made.set(row(found.images, size, at), group[i]! * size);
        }
      }
      constants[i] = upper[i]! < Number.POSITIVE_INFINITY ? (lower[i]! + upper[i]!) / 2 : constants[i]! * 10;
    }
    const { constantTolerance: tolerance } = settings;
    searching = searching.filter((i) => upper[i] === Number.POSITIVE_INFINITY || upper[i]! - lower[i]! > tolerance * upper[i]!);
  }
}

/** Where the tanh of the originals starts: atanh of 1 is infinite. The value of the reference implementations. */
const shrink = 0.999999;

/** Loss must fall below this part of what it was. */
const fall = 0.9999;

/**
 *   min_w |x(w) - x_0|^2 + c max(0, kappa - m(x(w))),   x(w) = (tanh w + 1) / 2
 * by Adam from w(x_0), with m the margin and c of the sample. A sample is left alone when a tenth of the steps has not lowered its loss.
 */
async function descend(
  problem: Problem,
  group: readonly number[],
  constants: Float64Array,
  settings: Settings,
  progress: () => void,
): Promise<Found> {
  const { size } = problem;
  const { steps, confidence } = settings;
  const objective = { kind: settings.loss, targeted: problem.isTargeted } as const;
  const originals = takeRows(problem.images, size, group);
  const found = { images: new Float32Array(originals.length), squares: new Float64Array(group.length).fill(Number.POSITIVE_INFINITY) };
  const w = originals.map((value) => Math.atanh((2 * value - 1) * shrink));
  const adam = new Adam(w, size, settings.learningRate);
  const [allPixels, allRates] = [new Float32Array(w.length), new Float32Array(w.length)];
  const slope = new Float32Array(size);
  const lossAtCheck = new Float64Array(group.length).fill(Number.POSITIVE_INFINITY);
  const checkEvery = Math.ceil(steps / 10);
  let open = indices(group.length);
  for (let step = 0; step < steps && open.length > 0; step++) {
    const x = allPixels.subarray(0, open.length * size);
    open.forEach((i, at) => {
      leaveTanhSpace(row(w, size, i), row(x, size, at), row(allRates, size, at));
    });
    const rows = open.map((i) => group[i]!);
    const judged = await problem.gradient(objective, rows, x);
    const left: number[] = [];
    for (const [at, i] of open.entries()) {
      const image = row(x, size, at);
      const original = row(originals, size, i);
      const squares = squaredDistance(image, original);
      const margin = judged.objective[at]!;
      if (judged.isAdversarial[at] === 1 && margin >= confidence && squares < found.squares[i]!) {
        found.squares[i] = squares;
        found.images.set(image, i * size);
      }
      if (settings.abortEarly && step % checkEvery === 0) {
        const loss = squares + constants[i]! * Math.max(0, confidence - margin);
        if (!(loss <= fall * lossAtCheck[i]!)) continue;
        lossAtCheck[i] = loss;
      }
      const gradient = row(judged.gradient, size, at);
      const rates = row(allRates, size, at);
      const pull = margin < confidence ? constants[i]! : 0;
      for (let k = 0; k < size; k++) slope[k] = (2 * (image[k]! - original[k]!) - pull * gradient[k]!) * rates[k]!;
      adam.step(i, slope, step + 1);
      left.push(i);
    }
    open = left;
    progress();
  }
  return found;
}

/** x(w), and dx / dw = (1 - tanh^2 w) / 2, in float64: close to 0 and 1 the one says little of the other. */
function leaveTanhSpace(w: Float32Array, x: Float32Array, rates: Float32Array): void {
  for (let k = 0; k < w.length; k++) {
    const tanh = Math.tanh(w[k]!);
    x[k] = (tanh + 1) / 2;
    rates[k] = (1 - tanh * tanh) / 2;
  }
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let squares = 0;
  for (let k = 0; k < a.length; k++) squares += (a[k]! - b[k]!) ** 2;
  return squares;
}

/** Kingma & Ba 2015, on rows of `values` [n, size], each with moments of its own. */
class Adam {
  private readonly values: Float32Array;
  private readonly size: number;
  private readonly learningRate: number;
  private readonly mean: Float32Array;
  private readonly square: Float32Array;

  constructor(values: Float32Array, size: number, learningRate: number) {
    this.values = values;
    this.size = size;
    this.learningRate = learningRate;
    this.mean = new Float32Array(values.length);
    this.square = new Float32Array(values.length);
  }

  /** Against `gradient` [size] of row i; `step` counts from 1. */
  step(i: number, gradient: Float32Array, step: number): void {
    const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
    const rate = this.learningRate / (1 - beta1 ** step);
    const correction = 1 / (1 - beta2 ** step);
    const [values, mean, square] = [row(this.values, this.size, i), row(this.mean, this.size, i), row(this.square, this.size, i)];
    for (let k = 0; k < values.length; k++) {
      const slope = gradient[k]!;
      mean[k] = beta1 * mean[k]! + (1 - beta1) * slope;
      square[k] = beta2 * square[k]! + (1 - beta2) * slope * slope;
      values[k]! -= (rate * mean[k]!) / (Math.sqrt(square[k]! * correction) + epsilon);
    }
  }
}
