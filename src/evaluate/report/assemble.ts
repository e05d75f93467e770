import type { ModelCard } from "../../classify/card.ts";
import { type Classification, decideAt } from "../../classify/classification.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { encodePng } from "../../data/images.ts";
import { correctness } from "../evaluation.ts";
import { winningPosteriors } from "../metrics/calibration.ts";
import type { Example, ExampleGroup, RunReport } from "./types.ts";

/** Images and what the classifier said of them. */
export interface Scored {
  readonly data: ImageSet;
  readonly classification: Classification;
}

export interface ReportParts extends Pick<RunReport, "title" | "createdAt" | "environment" | "history" | "epochs" | "evaluation"> {
  readonly card: ModelCard;
  readonly inDistribution: Scored;
  readonly outOfDistribution: readonly Scored[];
  /** log p(c) where the model does not take it for uniform, [C]. */
  readonly logPriors?: Float32Array | undefined;
}

const perGroup = 12;

/**
 * Gathers the histograms' values and picks the examples, accepted or rejected by the evaluation's first thresholds; the same run always gives
 * the same report.
 */
export async function assembleReport({
  inDistribution: inside,
  outOfDistribution: outside,
  logPriors,
  ...parts
}: ReportParts): Promise<RunReport> {
  const { card, evaluation } = parts;
  const inDistribution = decided(inside, parts);
  const outOfDistribution = outside.map((scored) => decided(scored, parts));
  const percentiles = evaluation.rejection.map(({ percentile }) => percentile);
  const thresholds = card.calibration.thresholds.filter((set) => percentiles.includes(set.percentile));
  const { data, classification } = inDistribution;
  const correct = correctness(classification, data.labels);
  const rows = Array.from(data.labels, (_, i) => i);
  const byScore = (scores: Float32Array, sign: 1 | -1) => (a: number, b: number) => sign * (scores[b]! - scores[a]!);
  const group = async (title: string, from: Scored, indices: readonly number[], posteriors?: Float64Array): Promise<ExampleGroup> => ({
    title,
    examples: await Promise.all(indices.slice(0, perGroup).map((index) => example(from, index, card.classNames, posteriors))),
  });
  const posteriors = winningPosteriors(classification.classLogLikelihoods, classification.labels, logPriors);
  const byLogLikelihood = byScore(classification.logLikelihoods, 1);
  const groups = [
    await group(
      "Accepted",
      inDistribution,
      rows.filter((i) => classification.accepted[i] === 1 && correct[i] === 1),
    ),
    await group(
      "Rejected, the least likely first",
      inDistribution,
      rows.filter((i) => classification.accepted[i] === 0).sort(byScore(classification.logLikelihoods, -1)),
    ),
    await group(
      "Wrong and accepted, the most confident first",
      inDistribution,
      rows.filter((i) => classification.accepted[i] === 1 && correct[i] === 0).sort(byLogLikelihood),
    ),
    await group(
      "Wrong, accepted or not, the highest posterior first",
      inDistribution,
      // Many posteriors are 1 within rounding; among them the likelier image comes first.
      rows.filter((i) => correct[i] === 0).sort((a, b) => posteriors[b]! - posteriors[a]! || byLogLikelihood(a, b)),
      posteriors,
    ),
  ];
  for (const scored of outOfDistribution) {
    const { accepted, logLikelihoods } = scored.classification;
    const all = Array.from(accepted, (_, i) => i);
    groups.push(
      await group(
        `${scored.data.name}: rejected`,
        scored,
        all.filter((i) => accepted[i] === 0),
      ),
    );
    const taken = all.filter((i) => accepted[i] === 1).sort(byScore(logLikelihoods, 1));
    groups.push(await group(`${scored.data.name}: accepted by mistake, the most confident first`, scored, taken));
  }
  return {
    ...parts,
    thresholds,
    scores: classScores(
      card.classNames.length,
      inDistribution,
      outOfDistribution.map(({ data, classification }) => ({ name: data.name, classification })),
    ),
    examples: groups,
  };
}

function decided({ data, classification }: Scored, { card, evaluation: { rejection } }: Pick<ReportParts, "card" | "evaluation">): Scored {
  const [first] = rejection;
  if (!first) return { data, classification };
  return { data, classification: decideAt(classification, card, first.percentile, first.source ?? undefined) };
}

/** Per class: log p(z|c) of the class's own images, and of all out-of-distribution images. */
export function classScores(
  classes: number,
  { data, classification }: Scored,
  outside: readonly { readonly name: string; readonly classification: Classification }[],
): RunReport["scores"] {
  const column = ({ classLogLikelihoods, count }: Classification, c: number) =>
    Array.from({ length: count }, (_, i) => classLogLikelihoods[i * classes + c]!);
  const ofEachClass = (values: (c: number) => number[]) => Array.from({ length: classes }, (_, c) => values(c));
  return {
    inDistribution: ofEachClass((c) => column(classification, c).filter((_, i) => data.labels[i] === c)),
    outOfDistribution: outside.map((set) => ({ data: set.name, byClass: ofEachClass((c) => column(set.classification, c)) })),
  };
}

async function example(
  { data, classification }: Scored,
  index: number,
  classNames: readonly string[],
  posteriors?: Float64Array,
): Promise<Example> {
  const { height, width, channels, pixels } = data;
  const size = height * width * channels;
  const png = await encodePng({ height, width, channels, pixels: pixels.subarray(index * size, (index + 1) * size) });
  const truth = data.classNames[data.labels[index]!]!;
  const isKnown = data.classNames.join("\n") === classNames.join("\n");
  return {
    png: `data:image/png;base64,${png.toString("base64")}`,
    source: isKnown || data.classNames.length === 1 ? data.name : `${data.name}: ${truth}`,
    trueLabel: isKnown ? truth : null,
    label: classNames[classification.labels[index]!]!,
    accepted: classification.accepted[index] === 1,
    logLikelihood: classification.logLikelihoods[index]!,
    threshold: classification.thresholds[index]!,
    posterior: posteriors ? posteriors[index]! : null,
  };
}
