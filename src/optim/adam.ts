import { add, div, input, mul, parameter, sqrt, square, sub } from "../graph/build.ts";
import { gradients } from "../graph/gradients.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { type StaticShape, staticShape } from "../graph/types.ts";

export interface AdamConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** The paper's: Adam's defaults (Kingma and Ba 2015). */
export const adamDefaults: AdamConfig = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** One tensor of training state that each step replaces. */
export interface StateSpec {
  readonly name: string;
  readonly shape: StaticShape;
  readonly start: number;
}

export interface Updates {
  /** New value by parameter name: weights and optimizer state. */
  readonly next: ReadonlyMap<string, Value>;
  /** The optimizer's own state, and how it starts. */
  readonly state: readonly StateSpec[];
}

/**
 * One step of Adam with bias correction. With g the gradient of the loss and t the step, counted from 1:
 *   m <- beta1 m + (1 - beta1) g      v <- beta2 v + (1 - beta2) g^2
 *   w <- (1 - lr weightDecay) w - lr [m / (1 - beta1^t)] / [sqrt(v / (1 - beta2^t)) + epsilon]
 * where the decay (AdamW, Loshchilov and Hutter 2019) is for those weights alone that `decays` names.
 * The graph gets an input `learningRate` []; beta1^t and beta2^t are state.
 */
export function adam(
  graph: Graph,
  loss: Value,
  weights: readonly Value[],
  { beta1, beta2, epsilon, weightDecay }: AdamConfig = adamDefaults,
  decays: (weight: Value) => boolean = () => true,
): Updates {
  const next = new Map<string, Value>();
  const state: StateSpec[] = [];
  const keep = (name: string, shape: StaticShape, start: number): Value => {
    state.push({ name, shape, start });
    return parameter(graph, name, shape);
  };
  const slopes = gradients(loss, weights);
  const learningRate = input(graph, "learningRate", "float32", []);
  const power1 = mul(keep("adam.beta1Power", [], 1), beta1);
  const power2 = mul(keep("adam.beta2Power", [], 1), beta2);
  next.set("adam.beta1Power", power1);
  next.set("adam.beta2Power", power2);
  // The same formula with its corrections taken out of the tensors: lr' = lr sqrt(1 - beta2^t) / (1 - beta1^t), epsilon' = epsilon sqrt(1 - beta2^t).
  const correction2 = sqrt(sub(1, power2));
  const rate = div(mul(learningRate, correction2), sub(1, power1));
  const correctedEpsilon = mul(correction2, epsilon);
  const kept = weightDecay === 0 ? undefined : sub(1, mul(learningRate, weightDecay));
  weights.forEach((weight, i) => {
    const shape = staticShape(weight.type.shape, weight.name);
    const slope = slopes[i]!;
    const m = add(mul(keep(`adam.m.${weight.name}`, shape, 0), beta1), mul(slope, 1 - beta1));
    const v = add(mul(keep(`adam.v.${weight.name}`, shape, 0), beta2), mul(square(slope), 1 - beta2));
    next.set(`adam.m.${weight.name}`, m);
    next.set(`adam.v.${weight.name}`, v);
    const start = kept && decays(weight) ? mul(weight, kept) : weight;
    next.set(weight.name, sub(start, mul(div(m, add(sqrt(v), correctedEpsilon)), rate)));
  });
  return { next, state };
}
