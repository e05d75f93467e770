import { Classifier } from "../../classify/classifier.ts";
import { readModelFile, rejecting, withStatistics } from "../../classify/model-file.ts";
import { circumstances, commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { loadDataset } from "../../data/registry.ts";
import { synthesise, syntheticNames } from "../../data/synthetic.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import { type LabelledVerdicts, type MeasuredRule, measureRules, rulesTable } from "../../evaluate/protocols/reject-rules.ts";
import { measuredFile } from "../../evaluate/record.ts";
import { runtimeVersion } from "../../runtime/session.ts";
import { note, ProgressLine } from "../output.ts";
import { keptRows } from "./kept.ts";
import { loading, outOfDistribution, type ReproduceOptions, trainedModel, withoutModel } from "./options.ts";
import { type Provenance, writeTable } from "./write.ts";

export const rulesName = "reject-rules";

/** The paper's reject rule beside others, of each SDIM model. */
export async function reproduceRules(wanted: readonly PaperModel[], options: ReproduceOptions): Promise<void> {
  const kept = keptRows(rulesName, wanted, options);
  const rows: { model: PaperModel; published?: string; rules: MeasuredRule[] }[] = [];
  const records: Provenance[] = [];
  const shown = wanted.filter(({ head }) => head === "sdim");
  if (shown.length === 0) throw new UserError(`${rulesName}: is of no model that --data and --only name; leave them out, or name others`);
  for (const model of shown) {
    const path = await trainedModel(model, options);
    if (path === undefined) {
      note(withoutModel(model, options, "left out"));
      continue;
    }
    const file = readModelFile(path);
    const published = model.ood === undefined ? undefined : await outOfDistribution(model.ood, options);
    const rules = await rulesOf(
      model,
      await Classifier.load(withStatistics(rejecting(file, { rejectBy: "likelihood" }))),
      published,
      options,
    );
    rows.push({ model, rules, ...(published ? { published: published.name } : {}) });
    records.push({
      circumstances: circumstances(commandLine("sdim", process.argv.slice(2)), runtimeVersion()),
      modelFile: measuredFile(path, file.card),
    });
  }
  if (rows.length === 0)
    throw new UserError(
      `${rulesName}: none of the models is there; --train trains them, --models names another folder than ${options.models}`,
    );
  writeTable(rulesTable(rows), records, kept, options);
}

async function rulesOf(
  { id, data }: PaperModel,
  classifier: Classifier,
  published: ImageSet | undefined,
  options: ReproduceOptions,
): Promise<MeasuredRule[]> {
  const line = new ProgressLine();
  const classified = (set: ImageSet) =>
    classifier.classify(set, {
      onProgress: (done, total) => line.show(`${id}: scoring ${set.name} (${set.split}): ${done} of ${total}`, done === total),
    });
  const labelled = async (set: ImageSet): Promise<LabelledVerdicts> => ({ verdicts: await classified(set), labels: set.labels });
  try {
    const test = await loadDataset(data, "test", loading(options));
    const training = await labelled(await loadDataset(data, "train", loading(options)));
    const synthetic = [];
    for (const name of syntheticNames) synthetic.push(await classified(synthesise(name, test)));
    const sets = { training, test: await labelled(test), synthetic, ...(published ? { published: await classified(published) } : {}) };
    return measureRules(sets, classifier.card.classNames);
  } finally {
    line.end();
    await classifier.release();
  }
}
