import type { Command } from "commander";
import { readModelFile, thresholdsInForce } from "../../classify/model-file.ts";
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
      const { calibration, model, classNames } = card;
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
      printLine(`  sees     ${model.imageSize}x${model.imageSize}, ${model.channels === 1 ? "grey" : "colour"}; input images of any size`);
      printLine(`  trained  on ${calibration.data}: ${JSON.stringify(card.training["config"])}`);
      printLine(
        `  rejects  below percentile ${calibration.percentile} of ${calibration.data} (${calibration.split}); others stored: ${calibration.thresholds.map(({ percentile }) => percentile).join(", ")}`,
      );
      for (const [name, value] of Object.entries(card.measured)) printLine(`  ${name}  ${value}`);
      printLine("  class          threshold");
      classNames.forEach((name, c) => {
        printLine(`  ${name.padEnd(14)} ${thresholds[c]!.toFixed(2)}`);
      });
    });
}
