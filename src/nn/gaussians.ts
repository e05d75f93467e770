import { add, div, exp, maximum, mul, reshape, scalar, square, sub, sum } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import { staticDim } from "../graph/types.ts";
import type { Network } from "./network.ts";

/** Names of the class means and log sigmas, each [C, d], among the parameters. */
export const [meanParameter, logSigmaParameter] = ["gaussians.mean", "gaussians.logSigma"] as const;

/**
 * The class-conditional Gaussians ("class-conditional embedding layer"): representations z [N, d] -> raw class log-likelihoods [N, C], nats:
 *   ll_c(z) = -1/2 sum_k [ log 2 pi + 2 log sigma_ck + (z_k - mu_ck)^2 / sigma_ck^2 ]   (paper, 3.1)
 * `logSigmaFloor`: log sigma is not taken below it (SDIM-logit, arXiv 2001.00483, uses log 0.02); null: unbounded, as in the paper.
 */
export function classLogLikelihoods(net: Network, z: Value, classes: number, logSigmaFloor: number | null): Value {
  return net.scope("gaussians", () => {
    const count = z.type.shape[0]!;
    const dimension = staticDim(z.type.shape[1], "representation");
    const center = net.weight("mean", [classes, dimension], { kind: "normal", deviation: 0.1 });
    const declared = net.weight("logSigma", [classes, dimension], { kind: "normal", deviation: 0.1 });
    const logSigma = logSigmaFloor === null ? declared : maximum(declared, scalar(z.graph, logSigmaFloor));
    const distance = sub(reshape(z, [count, 1, dimension]), reshape(center, [1, classes, dimension]));
    const standardised = div(distance, exp(reshape(logSigma, [1, classes, dimension])));
    const quadratic = sum(square(standardised), [2]);
    const normaliser = add(mul(sum(logSigma, [1]), 2), dimension * Math.log(2 * Math.PI));
    return mul(add(quadratic, normaliser), -0.5);
  });
}
