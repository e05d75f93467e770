import { add, concat, mean, reshape, scalar, sqrt, square, sub } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import type { Encoded, EncoderConfig } from "./resnet.ts";

/** Added to variances: a channel that is the same everywhere has a standard deviation of a thousandth, and a slope. */
const least = 1e-6;

/** How many statistics an image has, S. */
export const statisticsCount = ({ widths }: Pick<EncoderConfig, "widths">): number => 2 * (widths[0] + widths[1]);

/**
 * The channel statistics t of images, [N, S]: of each channel at the end of stages 1 and 2 its mean and its standard deviation over the pixels, stage by stage.
 * They say which edges, colours and textures an image has, and how much of them, wherever they are: what class log-likelihoods, four stages on, no longer see.
 * Layer means as out-of-distribution statistics: Lee et al. 2018 (arXiv 1807.03888); higher moments: Sastry & Oore 2020 (arXiv 1912.12510).
 */
export function channelStatistics([first, second]: Encoded["stages"]): Value {
  return concat(
    [first, second].flatMap((maps) => {
      const means = mean(maps, [2, 3], true);
      const variances = mean(square(sub(maps, means)), [2, 3]);
      const [n, channels] = maps.type.shape;
      return [reshape(means, [n!, channels!]), sqrt(add(variances, scalar(maps.graph, least)))];
    }),
    1,
  );
}
