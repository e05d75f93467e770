import { readFileSync } from "node:fs";
import { Document, isPair, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { messageOf, UserError } from "../core/errors.ts";
import { type TrainConfig, trainConfigSchema } from "../train/config.ts";

/** The keys of a config file: YAML, of which JSON is a part. Errors: UserError with the place when it is neither, or no mapping. */
export const readConfigFile = (path: string): Record<string, unknown> =>
  readMapping(path, `--config ${path}`, 'config keys with their values, for example "epochs: 5"');

/** A file's YAML or JSON mapping; `source` names it in messages, `expected` says what should be in it. Errors: as `readConfigFile`. */
export function readMapping(path: string, source: string, expected: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`${source}: ${messageOf(error)}`, { cause: error });
  }
  const document = parseDocument(text, { lineCounter: new LineCounter(), uniqueKeys: true });
  const problem = [...document.errors, ...document.warnings][0];
  if (problem) throw new UserError(`${source}: not YAML or JSON: ${problem.message}`, { cause: problem });
  let parsed: unknown;
  try {
    parsed = document.toJS();
  } catch (error) {
    // Aliases of aliases of aliases: refused by the library.
    throw new UserError(`${source}: ${messageOf(error)}`, { cause: error });
  }
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  throw new UserError(`${source}: expected ${expected}`);
}

/** What an option's value may be: its description and, where it is one of a list, the list. */
export function explain(key: keyof TrainConfig): string {
  const schema = trainConfigSchema.shape[key];
  const choices = "options" in schema ? (schema.options as readonly string[]).join(" | ") : "";
  return [schema.description ?? "", choices].filter((text) => text !== "").join(": ");
}

/** The config as YAML, every key with what it means. */
export function renderConfig(config: TrainConfig): string {
  const document = new Document(config);
  visit(document, {
    Pair: (_position, pair) => {
      if (!isPair(pair) || !isScalar(pair.key)) return;
      pair.key.commentBefore = ` ${explain(pair.key.value as keyof TrainConfig)}`;
    },
    Seq: (_position, sequence) => {
      sequence.flow = true;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
