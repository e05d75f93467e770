import sharp from "sharp";
import { writeFileAtomic } from "../core/files.ts";
import type { StudyResult } from "./ablate.ts";
import { studyFigure } from "./figure.ts";
import { studyMarkdown } from "./table.ts";

/** The study so far as `<out>.md`, `.json`, `.svg` and `.png`, each replaced atomically. Errors: UserError when a file cannot be written. */
export async function writeStudy(result: StudyResult, out: string): Promise<void> {
  const svg = studyFigure(result);
  writeFileAtomic(`${out}.json`, `${JSON.stringify(result, null, 2)}\n`);
  writeFileAtomic(`${out}.md`, studyMarkdown(result));
  writeFileAtomic(`${out}.svg`, svg);
  writeFileAtomic(`${out}.png`, await sharp(Buffer.from(svg)).png().toBuffer());
}
