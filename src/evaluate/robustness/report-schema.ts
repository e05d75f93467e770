import { z } from "zod";
import { distances } from "../../attacks/distance.ts";
import { UserError } from "../../core/errors.ts";
import { readJsonFile } from "../json-file.ts";
import type { RobustnessReport } from "./report.ts";

// What attacks did, as it is read back from robustness.json: report.ts and summary.ts say what the fields mean. Fields that later versions add
// are passed over.

const rate = z.object({
  value: z.number().nullable(),
  of: z.int(),
  interval: z.object({ low: z.number(), high: z.number() }).nullable(),
});
const settings = z.record(z.string(), z.unknown());
const group = z.object({ attacked: z.int(), success: rate, detection: rate, evasion: rate });

const outcome = z.object({
  epsilon: z.number().nullable(),
  percentiles: z
    .array(
      z.object({
        percentile: z.number(),
        attacked: group,
        attackedAndAccepted: group,
        robustAccuracy: rate,
        robustAccuracyWithRejection: rate,
      }),
    )
    .min(1),
  medianPerturbation: z.number().nullable(),
  survivesRounding: rate,
  queries: z.object({ scores: z.number().nullable(), gradients: z.number().nullable() }),
  zeroGradients: z.number().nullable(),
});

const attack = z.object({
  entry: z.object({
    id: z.string(),
    role: z.enum(["paper", "white-box", "adaptive", "black-box", "transfer", "noise"]),
    attack: z.string(),
    settings,
    criterion: z.string().exactOptional(),
    head: z.enum(["sdim", "softmax"]).exactOptional(),
    classes: z.int().exactOptional(),
    doubles: z.string().exactOptional(),
  }),
  summary: z.object({
    attack: z.string(),
    settings,
    distance: z.enum(distances),
    criterion: z.string(),
    isTargeted: z.boolean(),
    carryOver: z.boolean(),
    seed: z.number(),
    samples: z.int(),
    percentileInForce: z.number(),
    outcomes: z.array(outcome),
  }),
});

const worstCases = z.array(
  z.object({ epsilon: z.number(), success: rate, evasion: rate, robustAccuracy: rate, robustAccuracyWithRejection: rate }),
);
const curve = z.array(z.object({ epsilon: z.number(), share: z.number() })).min(1);

export const robustnessSchema = z.object({
  data: z.string(),
  samples: z.int(),
  attacked: z.int(),
  attackedAndAccepted: z.int(),
  percentile: z.number(),
  twin: z.string().nullable(),
  attacks: z.array(attack),
  worstCase: z.object({ linf: worstCases, l2: worstCases }),
  paperCase: z.object({ linf: worstCases }),
  curves: z.object({ paperWrong: curve, paperEvading: curve, wrong: curve, evading: curve }),
  warnings: z.array(
    z.object({
      kind: z.enum(["zero-gradients", "black-box-better", "more-steps-help", "unbounded-below-100", "one-step-better", "left-out"]),
      text: z.string(),
    }),
  ),
}) satisfies z.ZodType<RobustnessReport>;

const recordSchema = z
  .object({ modelFile: z.object({ sha256: z.string() }), robustness: robustnessSchema })
  .refine(
    ({ robustness: { worstCase, paperCase } }) => worstCase.linf.length === paperCase.linf.length,
    "expected as many worst cases of the paper's attacks as of all",
  );

/** Attacks were made on another model file than the one they are to be shown with. */
export class OfAnotherModel extends UserError {}

/**
 * Reads what `sdim attack --standard --out` wrote. `evaluated`: SHA-256 of the model file that it is to be of, where something else was measured of one.
 * Errors: UserError with the file and what is wrong in it; OfAnotherModel.
 */
export function readRobustness(path: string, evaluated?: string): RobustnessReport {
  const { modelFile, robustness } = readJsonFile(path, recordSchema, "sdim attack --standard --out");
  if (evaluated === undefined || evaluated === modelFile.sha256) return robustness;
  throw new OfAnotherModel(
    `${path}: is of another model file (SHA-256 ${modelFile.sha256.slice(0, 16)}) than the evaluation beside it (${evaluated.slice(0, 16)}); attack or evaluate anew`,
  );
}
