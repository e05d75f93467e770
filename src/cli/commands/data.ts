import { relative, sep } from "node:path";
import { Argument, type Command, Option } from "commander";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { contactSheet } from "../../data/contact-sheet.ts";
import { getDataset, gettable } from "../../data/get.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { datasetNames, publishedSet, splitNames } from "../../data/published.ts";
import { findSet, type LoadOptions, type Split } from "../../data/registry.ts";
import { verifyDataset } from "../../data/verify.ts";
import { interruptible } from "../interrupt.ts";
import { dataDirOption, wholeNumber } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface Reporting {
  readonly dataDir?: string;
  readonly json?: boolean;
}

export function addData(program: Command): void {
  const data = program
    .command("data")
    .summary("list, get, verify and show data sets")
    .description("What data sets there are, and what is on this machine of them.");
  addList(data);
  addGet(data);
  addVerify(data);
  addShow(data);
}

const loading = ({ dataDir }: Reporting): LoadOptions => (dataDir === undefined ? {} : { dataDir });
const jsonOption = (): Option => new Option("--json", "print the result as JSON on stdout");

function addList(data: Command): void {
  data
    .command("list")
    .summary("data sets with a name, and where they are")
    .description("Lists the data sets that have a name: splits, images, and where they were found.")
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText("after", "\nExample:\n  $ sdim data list")
    .action((options: Reporting) => {
      const sets = datasetNames.map((name) => {
        const { splits, howToGet, classNames } = publishedSet(name);
        const listed = splitNames.flatMap((split) => {
          const count = splits[split]?.count;
          return count === undefined ? [] : [{ split, count, folder: folderOf(name, split, loading(options)) }];
        });
        return { name, classNames, splits: listed, howToGet };
      });
      if (options.json) return printJson(sets);
      for (const { name, splits, howToGet } of sets) {
        for (const { split, count, folder } of splits) {
          printLine(`${name.padEnd(21)} ${split.padEnd(6)} ${count.toLocaleString("en").padStart(7)} images  ${folder ?? "missing"}`);
        }
        if (splits.some(({ folder }) => folder === null)) printLine(`  to get it: ${howToGet}`);
      }
    });
}

function folderOf(name: string, split: Split, options: LoadOptions): string | null {
  try {
    return findSet(name, split, options).folder;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return null;
  }
}

interface GetCommandOptions extends Reporting {
  readonly to?: string;
  readonly from?: string;
  readonly baseUrl?: string;
}

function addGet(data: Command): void {
  data
    .command("get")
    .summary("download a data set, or copy it from files you have")
    .description(
      "Downloads a data set from where its makers publish it, or copies it with --from, checks every file by SHA-256 and puts it where its name is looked for. What was there already stays; a download that was stopped goes on where it was.",
    )
    .addArgument(new Argument("<name>", "which data set").choices(gettable).argParser((text: string) => text))
    .option("--to <folder>", "put the files here (default: ~/.cache/sdim/<name>)")
    .addOption(new Option("--from <folder|archive>", "copy the files from here, in place of a download").conflicts("baseUrl"))
    .option("--base-url <address>", "download from this mirror, which has the files under their published names")
    .addOption(jsonOption())
    .addHelpText("after", "\nExamples:\n  $ sdim data get cifar10\n  $ sdim data get cifar10 --from ~/Downloads/cifar-10-binary.tar.gz")
    .action(async (name: string, { json, to, from, baseUrl }: GetCommandOptions) => {
      const line = new ProgressLine();
      try {
        const files = await interruptible((signal) =>
          getDataset(name, {
            ...(to === undefined ? {} : { to }),
            ...(from === undefined ? {} : { from }),
            ...(baseUrl === undefined ? {} : { baseUrl }),
            network: { signal },
            onProgress: (file, received, total) => line.show(describeDownload(file, received, total), received === total),
          }),
        );
        if (json) return printJson({ name, files });
        for (const { state, path } of files) printLine(`${state.padEnd(10)} ${path}`);
      } finally {
        line.end();
      }
    });
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

const describeDownload = (file: string, received: number, total: number | undefined): string =>
  total === undefined
    ? `${file}: ${megabytes(received)} MB`
    : `${file}: ${megabytes(received)} of ${megabytes(total)} MB (${Math.floor((100 * received) / total)}%)`;

function addVerify(data: Command): void {
  data
    .command("verify <name|path>")
    .summary("check the files of a data set")
    .description(
      "Checks every file of a data set, or the images in your own folder or file. Exits with 2 when something is missing or wrong.",
    )
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText("after", "\nExamples:\n  $ sdim data verify cifar10\n  $ sdim data verify photos")
    .action(async (spec: string, options: Reporting) => {
      const checks = await verifyDataset(spec, loading(options));
      if (options.json) printJson(checks);
      else for (const { state, split, file, detail } of checks) printLine(`${state.padEnd(8)} ${split.padEnd(6)} ${file}  ${detail}`);
      const bad = checks.filter(({ state }) => state !== "ok").length;
      if (bad > 0) throw new UserError(`${spec}: ${bad} of ${checks.length} checks failed`);
    });
}

interface ShowCommandOptions extends Reporting, DataOptions {
  readonly split: Split;
  readonly out?: string;
  readonly count?: number;
}

/** Whether a path is in a folder of `folder`, where images of classes are. */
function isDeepInside(path: string, folder: string): boolean {
  const [first, ...rest] = relative(folder, path).split(sep);
  return first !== ".." && rest.length > 0;
}

function addShow(data: Command): void {
  const command = data
    .command("show <name|path>")
    .summary("count the classes of a data set, draw its first images")
    .description("Counts the images of each class and, with --out, draws the first images with their class names into a PNG file.")
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split to show").choices(["train", "val", "test"]).default("test"))
    .option("--out <file.png>", "draw a sheet of images into this file")
    .option("--count <n>", "images on the sheet (default: 100)", wholeNumber)
    .addOption(jsonOption())
    .addHelpText("after", "\nExample:\n  $ sdim data show cifar10 --split train --out sheet.png --count 200");
  ownImageOptions(command, true).action(async (spec: string, options: ShowCommandOptions) => {
    if (options.out !== undefined && !/\.png$/i.test(options.out)) {
      throw new UserError(`--out ${options.out}: the sheet is a PNG; expected a name that ends in .png`);
    }
    if (options.count !== undefined && options.out === undefined) throw new UserError("--count: of what sheet? Name its file with --out");
    const set = await loadWithProgress(spec, options.split, loadOptions(options));
    requireOwnImages(options, [set]);
    if (options.out !== undefined && set.origin && isDeepInside(options.out, spec))
      throw new UserError(`--out ${options.out}: the sheet would be taken for one of the images of ${spec}; name a file elsewhere`);
    if (options.out !== undefined) writeFileAtomic(options.out, await contactSheet(set, options.count ?? 100));
    const { name, split, count, height, width, channels, fingerprint } = set;
    const classes = classCounts(set);
    if (options.json) return printJson({ name, split, count, height, width, channels, classes, fingerprint, sheet: options.out ?? null });
    printLine(`${name} (${split}): ${count.toLocaleString("en")} images, ${height}x${width}, ${channels === 1 ? "grey" : "colour"}`);
    const longest = Math.max(...classes.map((entry) => entry.name.length));
    for (const entry of classes) printLine(`  ${entry.name.padEnd(longest)}  ${entry.count.toLocaleString("en").padStart(7)}`);
    if (options.out !== undefined) printLine(`sheet  ${options.out}`);
  });
}

function classCounts({ labels, classNames }: ImageSet): { readonly name: string; readonly count: number }[] {
  const counts = new Int32Array(classNames.length);
  for (const label of labels) counts[label] = counts[label]! + 1;
  return classNames.map((name, c) => ({ name, count: counts[c]! }));
}
