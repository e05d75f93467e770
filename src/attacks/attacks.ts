import { oneOf } from "../core/names.ts";
import { adaptive } from "./adaptive.ts";
import { apgd } from "./apgd.ts";
import type { Attack, AttackDefinition } from "./attack.ts";
import { boundary } from "./boundary.ts";
import { carliniWagner } from "./carlini-wagner.ts";
import { deepfool } from "./deepfool.ts";
import { hopSkipJump } from "./hop-skip-jump.ts";
import { jsma } from "./jsma.ts";
import { localSearch } from "./local-search.ts";
import { matchMean, matchSample } from "./matching.ts";
import { noise } from "./noise.ts";
import { bim, fgsm, pgd } from "./pgd.ts";
import { square } from "./square.ts";

/** Every attack by name. */
export const attackDefinitions: readonly AttackDefinition[] = [
  fgsm,
  bim,
  pgd,
  apgd,
  deepfool,
  carliniWagner,
  matchMean,
  matchSample,
  jsma,
  square,
  localSearch,
  boundary,
  hopSkipJump,
  noise,
  adaptive,
];
export const attackNames: readonly string[] = attackDefinitions.map(({ name }) => name);

/** Errors: UserError for an unknown attack or setting (with the nearest match), or a value out of range. */
export function makeAttack(name: string, settings: Readonly<Record<string, unknown>> = {}): Attack {
  const known = oneOf("attack", name, attackNames);
  return attackDefinitions.find((definition) => definition.name === known)!.create(settings);
}
