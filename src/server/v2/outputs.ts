import type { ModelCard } from "../../classify/card.ts";
import { oneOf } from "../../core/names.ts";
import type { Verdict } from "../engine/batcher.ts";
import type { InferRequest } from "../schemas.ts";
import { wrong } from "./request.ts";

interface Output {
  readonly datatype: "INT64" | "BOOL" | "FP32";
  /** After N; empty for one value per image. */
  readonly shape: (card: ModelCard) => readonly number[];
  readonly values: (verdict: Verdict) => ArrayLike<number>;
}

const { classes, representation } = {
  classes: ({ model }: ModelCard) => [model.classes],
  representation: ({ model }: ModelCard) => [model.head === "sdim" ? model.dimension : model.classes],
};
const single = () => [];

/** As in the model file (docs/model-file.md), in its order. */
export const outputs: ReadonlyMap<string, Output> = new Map<string, Output>([
  ["label", { datatype: "INT64", shape: single, values: ({ classIndex }) => [classIndex] }],
  ["accepted", { datatype: "BOOL", shape: single, values: ({ accepted }) => [Number(accepted)] }],
  ["log_likelihood", { datatype: "FP32", shape: single, values: ({ logLikelihood }) => [logLikelihood] }],
  ["threshold", { datatype: "FP32", shape: single, values: ({ threshold }) => [threshold] }],
  ["class_log_likelihoods", { datatype: "FP32", shape: classes, values: ({ classLogLikelihoods }) => classLogLikelihoods }],
  ["representation", { datatype: "FP32", shape: representation, values: (verdict) => verdict.representation }],
]);

export interface WantedOutput {
  readonly name: string;
  readonly isBinary: boolean;
}

/** Those asked for, else all. Errors: UserError for an unknown one, HttpError 400 for one asked for twice: both are answered alike. */
export function wantedOutputs({ outputs: asked, parameters }: InferRequest): readonly WantedOutput[] {
  const byDefault = flag(parameters, "binary_data_output") ?? false;
  const wanted = asked ?? [...outputs.keys()].map((name) => ({ name, parameters: undefined }));
  return wanted.map(({ name, parameters: own }, i) => {
    oneOf("output", name, [...outputs.keys()]);
    if (wanted.findIndex((one) => one.name === name) < i) throw wrong(`output "${name}" is asked for twice`);
    if (own?.["classification"] !== undefined) throw wrong(`output "${name}": the classification extension is not supported`);
    return { name, isBinary: flag(own, "binary_data") ?? byDefault };
  });
}

function flag(parameters: Readonly<Record<string, unknown>> | undefined, name: string): boolean | undefined {
  const value = parameters?.[name];
  if (value === undefined || typeof value === "boolean") return value;
  throw wrong(`${name}: expected true or false, got ${JSON.stringify(value)}`);
}

/** One tensor of the answer: with its data, or with bytes that follow the JSON part. */
export interface OutputTensor {
  readonly json: Readonly<Record<string, unknown>>;
  readonly binary: Uint8Array | undefined;
}

export function outputTensor({ name, isBinary }: WantedOutput, verdicts: readonly Verdict[], card: ModelCard): OutputTensor {
  const { datatype, shape, values } = outputs.get(name)!;
  const about = { name, datatype, shape: [verdicts.length, ...shape(card)] };
  const flat = verdicts.flatMap((verdict) => Array.from(values(verdict)));
  if (!isBinary) return { json: { ...about, data: datatype === "BOOL" ? flat.map((value) => value === 1) : flat }, binary: undefined };
  const binary = bytesOf(datatype, flat);
  return { json: { ...about, parameters: { binary_data_size: binary.length } }, binary };
}

/** Little-endian, as the protocol has it. */
function bytesOf(datatype: Output["datatype"], values: readonly number[]): Uint8Array {
  if (datatype === "BOOL") return Uint8Array.from(values);
  const width = datatype === "INT64" ? 8 : 4;
  const bytes = new DataView(new ArrayBuffer(values.length * width));
  values.forEach((value, i) => {
    if (datatype === "INT64") bytes.setBigInt64(i * width, BigInt(value), true);
    else bytes.setFloat32(i * width, value, true);
  });
  return new Uint8Array(bytes.buffer);
}
