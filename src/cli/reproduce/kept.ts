import { existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../../core/errors.ts";
import { fileDigest } from "../../core/files.ts";
import { type PaperModel, paperModels } from "../../evaluate/protocols/paper.ts";
import { readTableFile, type Source, type TableFile } from "../../evaluate/protocols/table-file.ts";
import type { TableRow } from "../../evaluate/protocols/tables.ts";
import { note } from "../output.ts";
import { modelPath, type ReproduceOptions } from "./options.ts";

/** What stays of the table that is there: rows of models that are not made anew. */
export interface Kept {
  readonly columns: TableFile["columns"];
  readonly rows: readonly TableRow[];
  readonly sources: readonly Source[];
}

/**
 * Of a table under `--out` the rows of models other than `made`, as long as they were measured of the model file that is there now, or say that there is
 * none. Errors: UserError when the file is no table of ours.
 */
export function keptRows(id: string, made: readonly PaperModel[], options: ReproduceOptions): Kept {
  const path = join(options.out, `${id}.json`);
  const others = paperModels.filter((model) => !made.some((one) => one.id === model.id));
  if (others.length === 0 || !existsSync(path)) return { columns: [], rows: [], sources: [] };
  const { columns, rows, madeFrom } = tableThere(path);
  const sources: Source[] = [];
  const kept = others.flatMap((model) => {
    const ofModel = rows.filter((row) => row.model === model.id);
    if (ofModel.length === 0) return [];
    const file = modelPath(options, model);
    const digest = existsSync(file) ? fileDigest(file) : undefined;
    const source = madeFrom.find(({ modelFile }) => modelFile.sha256 === digest);
    const isEmpty = ofModel.every(({ cells }) => cells.every(({ ours }) => ours === null));
    if (source) sources.push(source);
    else if (!isEmpty || digest !== undefined) {
      note(`${id}: leaves out the rows of ${model.id}, which were not measured of ${file}`);
      return [];
    }
    return ofModel;
  });
  return { columns, rows: kept, sources };
}

function tableThere(path: string): TableFile {
  try {
    return readTableFile(path);
  } catch (error) {
    throw new UserError(
      `${messageOf(error)}\nIts rows of other models are kept where --data or --only names some: move the file away, or make the whole table`,
      { cause: error },
    );
  }
}
