import { z } from "zod";
import type { ModelCard } from "../../src/browser.ts";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import { type Answer, absolute, askForJson } from "./server.ts";

/** A model that can be chosen. */
export interface ListedModel {
  readonly name: string;
  readonly classNames: readonly string[];
  /** URL of the model file. */
  readonly file: string;
  /** What was measured of the shipped model of this name, and the card it was measured with. */
  readonly measured?: { readonly url: string; readonly card: ModelCard };
}

const list = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      classNames: z.array(z.string()),
      file: z.string(),
      card: z.unknown().optional(),
      evaluation: z.string().optional(),
    }),
  ),
});
type List = z.infer<typeof list>["models"];

/**
 * The models of the server that this page is from or, where it is a static site, the shipped ones. Errors: KeyWanted, what to tell the reader.
 */
export async function listModels(): Promise<readonly ListedModel[]> {
  const [served, built] = await Promise.all([askForJson("v1/models"), askForJson("models.json")]);
  // A server that has models but does not give them is no static site.
  if (served.kind === "refused") throw new Error(served.message);
  const shipped = modelsOf(built);
  const listed = modelsOf(served) ?? shipped;
  if (!listed) throw new Error("No list of models: neither v1/models nor models.json is there. Is the page complete?");
  if (listed.length === 0) throw new Error("The server has no models.");
  return listed.map(({ name, classNames, file }) => {
    const twin = shipped?.find((model) => model.name === name);
    const measured = twin?.evaluation && twin.card ? { url: absolute(twin.evaluation), card: twin.card as ModelCard } : undefined;
    return { name, classNames, file: absolute(file), ...(measured ? { measured } : {}) };
  });
}

const modelsOf = (answer: Answer): List | undefined => (answer.kind === "json" ? list.parse(answer.json).models : undefined);

/** Errors: what to tell the reader. */
export async function fetchEvaluation(url: string): Promise<Evaluation> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: expected what was measured of the model, the server answered ${response.status}`);
  return ((await response.json()) as { readonly evaluation: Evaluation }).evaluation;
}

/** Whether numbers measured with one card hold for the model of another: same network, same thresholds, however old the files. */
export const isSameModel = (a: ModelCard, b: ModelCard): boolean =>
  JSON.stringify([a.model, a.training, a.calibration.thresholds]) === JSON.stringify([b.model, b.training, b.calibration.thresholds]);
