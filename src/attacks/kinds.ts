import { isOfKind, unexpected } from "../core/kinds.ts";

// What a compiler would say of the arguments of an attack, to callers who have none.

/** Arguments of `runAttack`, as they may come. */
interface Arguments {
  readonly model: unknown;
  readonly samples: unknown;
  readonly attack: unknown;
  readonly criterion: unknown;
  readonly epsilons: unknown;
}

/** Errors: UserError when an argument is of another kind than it should be. */
export function requireKinds({ model, samples, attack, criterion, epsilons }: Arguments): void {
  if (!can(model, "score")) throw unexpected("model", "what loadAttackedModel(...) gives", model);
  if (!can(attack, "perturb")) throw unexpected("attack", "what makeAttack(name, settings) gives", attack);
  if (criterion !== undefined && !can(criterion, "isMet"))
    throw unexpected("criterion", "misclassified or another criterion of the library", criterion);
  requireArrays(samples, "");
  const { guides } = samples as { readonly guides?: unknown };
  if (guides !== undefined) requireArrays(guides, "guides: ");
  if (epsilons === undefined) return;
  if (!Array.isArray(epsilons)) throw unexpected("epsilons", "a list of numbers", epsilons);
  const wrong = (epsilons as readonly unknown[]).findIndex((epsilon) => typeof epsilon !== "number");
  if (wrong >= 0) throw unexpected("epsilons", "a list of numbers", epsilons[wrong]);
}

const arrays = { images: "Float32Array", labels: "Int32Array", targets: "Int32Array" } as const;

function requireArrays(samples: unknown, prefix: string): void {
  if (typeof samples !== "object" || samples === null) throw unexpected(`${prefix}samples`, "images and labels", samples);
  for (const [name, wanted] of Object.entries(arrays)) {
    const given = (samples as Readonly<Record<string, unknown>>)[name];
    if (name === "targets" && given === undefined) continue;
    if (!isOfKind(given, wanted)) throw unexpected(`${prefix}${name}`, wanted, given);
  }
}

const can = (thing: unknown, method: string): boolean =>
  typeof (thing as Readonly<Record<string, unknown>> | null | undefined)?.[method] === "function";
