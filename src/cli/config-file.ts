import { readFileSync } from "node:fs";
import { Document, isPair, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { messageOf, UserError } from "../core/errors.ts";
import { requireRegularFile } from "../core/files.ts";
import { type TrainConfig, trainConfigSchema } from "../train/config.ts";

/** More is no config and no study. */
const largestFile = 2 ** 18;

/** The keys of a config file: YAML, of which JSON is a part. Errors: UserError with the place when it is neither, or no mapping. */
export const readConfigFile = (path: string): Record<string, unknown> =>
  readMapping(path, `--config ${path}`, 'config keys with their values, for example "epochs: 5"');

/** A file's YAML or JSON mapping; `source` names it in messages, `expected` says what should be in it. Errors: as `readConfigFile`. */
export function readMapping(path: string, source: string, expected: string): Record<string, unknown> {
  let text: string;
  try {
    requireRegularFile(path, largestFile);
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`${source}: ${messageOf(error)}`, { cause: error });
  }
  const lines = new LineCounter();
  // The library compares every key with every other, which takes hours for a file that is nothing but keys.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
  const problem = [...document.errors, ...document.warnings][0];
  if (problem) throw new UserError(`${source}: not YAML or JSON: ${problem.message}`, { cause: problem });
  requireUniqueKeys(document, lines, source);
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

function requireUniqueKeys(document: Document.Parsed, lines: LineCounter, source: string): void {
  visit(document, {
    Map: (_position, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        const { value, range } = key;
        if (seen.has(value))
          throw new UserError(`${source}: the key ${value} is there twice, again at line ${lines.linePos(range?.[0] ?? 0).line}`);
        seen.add(value);
      }
    },
  });
}

export const describeKey = (key: keyof TrainConfig): string => trainConfigSchema.shape[key].description ?? "";

/** What a key's value may be, where that is one of a list. */
export function choicesOf(key: keyof TrainConfig): readonly string[] {
  const schema = trainConfigSchema.shape[key];
  if (schema.type === "boolean") return ["true", "false"];
  return "options" in schema ? (schema.options as readonly string[]) : [];
}

/** The config as YAML, every key with what it means. */
export function renderConfig(config: TrainConfig): string {
  const document = new Document(config);
  visit(document, {
    Pair: (_position, pair) => {
      if (!isPair(pair) || !isScalar(pair.key)) return;
      const key = pair.key.value as keyof TrainConfig;
      const choices = choicesOf(key);
      pair.key.commentBefore = ` ${describeKey(key)}${choices.length === 0 ? "" : `: ${choices.join(" | ")}`}`;
    },
    Seq: (_position, sequence) => {
      sequence.flow = true;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
