import { join } from "node:path";
import type { ModelCard } from "../classify/card.ts";
import { encodeModelFile, type ModelFile } from "../classify/model-file.ts";
import { UserError } from "../core/errors.ts";
import { representationSize } from "../nn/classifier.ts";
import type { RepositoryFile } from "./repository.ts";

export interface TritonOptions {
  /** The model's name and folder. */
  readonly name: string;
  /** Its numbered version; others that are there stay. */
  readonly version: number;
  readonly maxBatchSize: number;
  /** Microseconds that a request may wait for others. */
  readonly maxQueueDelay: number;
}

/** Triton's, Kubernetes' and file systems' common ground. */
const names = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function requireName(name: string): string {
  if (names.test(name)) return name;
  throw new UserError(`--name ${name}: expected lower-case letters, digits and hyphens, at most 63, for example mnist`);
}

/** One string of protobuf's text format. */
const quoted = (text: string): string => `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;

interface TritonTensor {
  readonly name: string;
  readonly type: string;
  /** Without the batch; null: one value per image, which Triton writes as [1] of shape []. */
  readonly dims: readonly number[] | null;
  readonly labels?: string;
}

/** What Triton knows of a model file: docs/model-file.md says what inputs and outputs mean. Sizes of images are free; only equal ones are batched. */
export function tritonConfig({ model }: ModelCard, { name, maxBatchSize, maxQueueDelay }: Omit<TritonOptions, "version">): string {
  const outputs: readonly TritonTensor[] = [
    { name: "label", type: "TYPE_INT64", dims: null },
    { name: "accepted", type: "TYPE_BOOL", dims: null },
    { name: "log_likelihood", type: "TYPE_FP32", dims: null },
    { name: "threshold", type: "TYPE_FP32", dims: null },
    { name: "class_log_likelihoods", type: "TYPE_FP32", dims: [model.classes], labels: labelFile },
    { name: "representation", type: "TYPE_FP32", dims: [representationSize(model)] },
  ];
  return `name: ${quoted(name)}
platform: "onnxruntime_onnx"
max_batch_size: ${maxBatchSize}
input [
${tensorText({ name: "images", type: "TYPE_UINT8", dims: [-1, -1, model.channels] })}
]
output [
${outputs.map(tensorText).join(",\n")}
]
dynamic_batching {
  max_queue_delay_microseconds: ${maxQueueDelay}
}
version_policy: { latest { num_versions: 1 } }
`;
}

const labelFile = "labels.txt";

function tensorText({ name, type, dims, labels }: TritonTensor): string {
  const shape = dims === null ? "dims: [ 1 ]\n    reshape: { shape: [ ] }" : `dims: [ ${dims.join(", ")} ]`;
  const label = labels === undefined ? "" : `\n    label_filename: ${quoted(labels)}`;
  return `  {\n    name: ${quoted(name)}\n    data_type: ${type}\n    ${shape}${label}\n  }`;
}

/**
 * A Triton model repository: <name>/config.pbtxt, labels.txt and <version>/model.onnx. The model comes last: written in this order, a server
 * that watches the repository never sees a version without its config. Errors: UserError for a name, of the model or of a class, that Triton
 * does not take.
 */
export function tritonRepository(file: ModelFile, options: TritonOptions): RepositoryFile[] {
  const name = requireName(options.name);
  const wrong = file.card.classNames.find((one) => /[\r\n]/.test(one));
  if (wrong !== undefined) throw new UserError(`class ${JSON.stringify(wrong)}: a label file has a line per class, and this name has more`);
  return [
    { path: join(name, labelFile), content: `${file.card.classNames.join("\n")}\n` },
    { path: join(name, "config.pbtxt"), content: tritonConfig(file.card, options) },
    { path: join(name, String(options.version), "model.onnx"), content: encodeModelFile(file) },
  ];
}
