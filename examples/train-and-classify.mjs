// Trains a small classifier on 3,000 real digits, measures it, and asks it about a digit and a shirt. About half a minute on two cores.
// Usage: node examples/train-and-classify.mjs [folder]
import { Classifier, evaluate, loadDataset, readPicture, renderTable, resolveConfig, takeFirst, train, verdictsOf } from "sdim";

const out = process.argv[2] ?? "runs/example";

const { modelPath } = await train({
  config: resolveConfig({ widths: [16, 32, 32, 64], imageSize: 16, batchSize: 32, epochs: 6, learningRate: 0.003 }),
  data: takeFirst(await loadDataset("mnist", "train"), 3000),
  out,
  force: true,
  onProgress: ({ step, steps, loss }) => step % 20 === 0 && process.stderr.write(`step ${step} of ${steps}: loss ${loss.toFixed(2)}\n`),
});

const classifier = await Classifier.load(modelPath);
const { evaluation } = await evaluate(classifier, await loadDataset("mnist", "test"), {
  ood: [await loadDataset("fashion-mnist-sample", "test")],
});
process.stdout.write(`${renderTable(evaluation)}\n`);

for (const file of ["samples/images/digit.png", "samples/images/shirt.png"]) {
  const picture = await readPicture(file, 1);
  for (const { label, accepted } of verdictsOf(await classifier.classify({ ...picture, count: 1 }), classifier.card))
    process.stdout.write(`${file}: ${accepted ? label : "I don't know"}\n`);
}
await classifier.release();
