import { z } from "zod";
import { apgd } from "./apgd.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { bestOfAttacks } from "./combine.ts";
import { matchSample } from "./matching.ts";
import { ascentSettings } from "./pgd.ts";

// The strongest attack on the reject rule that we have: what one of its parts misses another may find.

export const adaptive: AttackDefinition = defineAttack({
  name: "adaptive",
  about: "the strongest against the reject rule: of each sample the first success of apgd, apgd class by class, and match-sample",
  source: "Tramèr et al. 2020 for the principle",
  settings: z.strictObject({
    norm: ascentSettings.norm,
    steps: z.int().min(1).default(100).describe("gradient steps of each try"),
    targets: z.int().min(1).default(3).describe("untargeted: how many of the nearest wrong classes to head for, one after another"),
    guides: z.int().min(0).default(5).describe("how many clean images of other classes to imitate, one after another; 0: none"),
  }),
  create: ({ norm, steps, targets, guides }) => {
    const ascent = { norm, steps, loss: "accepted" };
    return bestOfAttacks([
      apgd.create(ascent),
      apgd.create({ ...ascent, targets }),
      ...(guides > 0 ? [matchSample.create({ norm, steps, guides })] : []),
    ]);
  },
});
