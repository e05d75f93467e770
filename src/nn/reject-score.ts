/**
 * What says that an input is unknown, and is compared with thresholds: `likelihood`, log p(z|c) as in the paper, or `penalised-likelihood`, the same less
 * penalties for what lies between the classes and for channel statistics unlike those of known images (`src/nn/scorer.ts` has the formula). They differ in what is refused, never in the class that wins.
 */
export const rejectScores = ["likelihood", "penalised-likelihood"] as const;
export type RejectScore = (typeof rejectScores)[number];

/** What of a model's config says by what it rejects. */
interface Rejecting {
  readonly head: "sdim" | "softmax";
  readonly rejectBy?: RejectScore | undefined;
}

/** What a model compares with thresholds. */
export const rejectScoreOf = ({ head, rejectBy = "likelihood" }: Rejecting): RejectScore | "posterior" =>
  head === "softmax" ? "posterior" : rejectBy;

const scoreNames: Readonly<Record<RejectScore | "posterior", string>> = {
  likelihood: "log-likelihood",
  "penalised-likelihood": "penalised log-likelihood",
  posterior: "log-posterior",
};

/** For a person: what a model compares with thresholds. */
export const rejectScoreInWords = (model: Rejecting): string => scoreNames[rejectScoreOf(model)];

/** For the axis of a figure: what a model compares with the threshold of the class of that name. */
export function rejectScoreOfClass(model: Rejecting, name: string): string {
  switch (rejectScoreOf(model)) {
    case "likelihood":
      return `log p(z|${name}), nats`;
    case "penalised-likelihood":
      return `log p(z|${name}) less penalties, nats`;
    case "posterior":
      return `log p(${name}|x), nats`;
  }
}

/** For a person: a score or its threshold. Likelihoods are hundreds of nats, a log-posterior may be a hundredth. */
export const showScore = (score: number): string => (Math.abs(score) < 10 ? score.toPrecision(2) : score.toFixed(0));
