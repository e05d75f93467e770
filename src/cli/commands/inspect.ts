import type { Command } from "commander";
import { z } from "zod";
import { calibrationsOf, sourceOf } from "../../classify/calibrations.ts";
import { type Calibration, type ModelCard, trainedOn } from "../../classify/card.ts";
import { readModelFile, thresholdsInForce } from "../../classify/model-file.ts";
import { rejectScoreInWords } from "../../nn/reject-score.ts";
import { type EarlierTraining, earlierTraining } from "../../train/checkpoint.ts";
import { printJson, printLine } from "../output.ts";

export function addInspect(program: Command): void {
  program
    .command("inspect <model>")
    .summary("show what a model file is and holds")
    .description("Shows a model file's classes, network, training, thresholds and measured numbers.")
    .option("--json", "print it as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim inspect runs/a/model.onnx --json")
    .action((path: string, { json }: { readonly json?: boolean }) => {
      const { card, proto } = readModelFile(path);
      const thresholds = Array.from(thresholdsInForce(card));
      const { model, classNames } = card;
      if (json)
        return printJson({
          ...card,
          thresholds,
          inputs: proto.graph!.input.map((input) => input.name),
          outputs: proto.graph!.output.map((output) => output.name),
        });
      printLine(
        `${path}: ${model.head === "sdim" ? "SDIM" : "softmax"} ResNet${model.depth}, ${card.parameters.toLocaleString("en")} weights in training, by sdim ${card.version}`,
      );
      printLine(
        `  sees     ${model.imageSize}x${model.imageSize}, ${model.channels === 1 ? "grey" : "colour"}; input images of any size${model.testTimeFlip ? "; scores are means over the image and its mirror image" : ""}`,
      );
      printLine(`  trained  on ${trainedOn(card) ?? "?"}: ${JSON.stringify(card.training["config"])}`);
      for (const { data, steps } of othersOf(card, "startedFrom"))
        printLine(`  began    with the weights of a training on ${data}, ${steps} steps`);
      for (const { data, steps } of othersOf(card, "averagedWith"))
        printLine(`  mean     of these weights and those of a training on ${data}, ${steps} steps`);
      calibrationsOf(card).forEach((one, i) => {
        const stored = one.thresholds.map(({ percentile }) => percentile).join(", ");
        const scope = one.thresholdsFor === "all-classes" ? ", one threshold for all classes" : "";
        const from = `${sourceOf(one)} images, ${one.data} (${one.split})${scope}`;
        printLine(
          i === 0
            ? `  rejects  below percentile ${one.percentile} of the ${rejectScoreInWords(model)} of ${from}; stored: ${stored}`
            : `  stored   thresholds of ${from}: ${stored}`,
        );
      });
      for (const [name, value] of Object.entries(card.measured)) printLine(`  ${name}  ${value}`);
      const columns = calibrationsOf(card).map((one, i) => ({
        head: `${sourceOf(one)}${i === 0 ? " (in force)" : ""}`,
        values: i === 0 ? [...thresholds] : valuesAt(one, card.calibration.percentile),
      }));
      printLine(`  class          ${columns.map(({ head }) => head.padStart(22)).join("")}`);
      classNames.forEach((name, c) => {
        printLine(`  ${name.padEnd(14)} ${columns.map(({ values }) => (values?.[c]?.toFixed(2) ?? "-").padStart(22)).join("")}`);
      });
    });
}

/** Other trainings that the weights are of, as far as the card says so. */
const othersOf = ({ training }: ModelCard, key: "startedFrom" | "averagedWith"): readonly EarlierTraining[] =>
  z.array(earlierTraining).catch([]).parse(training[key]);

/** Thresholds of another calibration at the percentile in force, where it has them. */
const valuesAt = ({ thresholds }: Calibration, wanted: number): readonly number[] | undefined =>
  thresholds.find(({ percentile }) => percentile === wanted)?.values;
