import { RunFolder } from "../src/evaluate/run-view.ts";

/** A folder's runs as files of a static site: `runs.json` in the form of our server's `v1/runs`, and one for each run. */
export function runFiles(folder: string): readonly { readonly fileName: string; readonly source: string }[] {
  const runs = new RunFolder(folder);
  const list = runs.list();
  const found = list.runs.map((run, i) => ({ ...run, file: `runs/${i}.json` }));
  return [
    { fileName: "runs.json", source: JSON.stringify({ ...list, runs: found }) },
    ...found.map(({ id, file }) => ({ fileName: file, source: JSON.stringify(runs.read(id)) })),
  ];
}
