import { UserError } from "../core/errors.ts";
import { isOfKind } from "../core/kinds.ts";
import { requireKnownKeys } from "../core/names.ts";
import { buildInputGradient } from "../nn/scorer.ts";
import { lower } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { targetFor } from "../runtime/layout.ts";
import { requireMachine, Session, tensor } from "../runtime/session.ts";
import type { ModelCard } from "./card.ts";
import { type ClassifierOptions, modelFileOf } from "./classifier.ts";
import { floatWeights, type ModelFile } from "./model-file.ts";

export interface InputGradient {
  /** [N, C], nats. */
  readonly classLogLikelihoods: Float32Array;
  /** [N, d] */
  readonly representations: Float32Array;
  /** [N, channels, size, size] */
  readonly inputGradient: Float32Array;
}

/** Gradients of class log-likelihoods by the pixels, in batches of one fixed size: what attacks need. */
export class InputGradients {
  readonly card: ModelCard;
  readonly batchSize: number;
  private readonly session: Session;

  private constructor(card: ModelCard, batchSize: number, session: Session) {
    this.card = card;
    this.batchSize = batchSize;
    this.session = session;
  }

  /** Batches of a multiple of 16 are fastest. Errors: UserError when the file is not a model of ours, or an export whose weights are no floats. */
  static async load(model: string | ModelFile, batchSize: number, options: ClassifierOptions = {}): Promise<InputGradients> {
    requireKnownKeys("InputGradients.load", options, ["provider", "threads"]);
    requireMachine(options);
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new UserError(`batchSize: expected a whole number of images, at least 1, got ${batchSize}`);
    const file = modelFileOf(model);
    const { outputs } = buildInputGradient(file.card.model, batchSize);
    const weights = floatWeights(file, "input gradients");
    const proto = lower(outputs, { target: await targetFor(options.provider ?? "cpu"), weights });
    return new InputGradients(file.card, batchSize, await Session.create(encodeModel(proto), options));
  }

  /**
   * `x` [N, channels, size, size] in [0, 1], N = batchSize; `classWeights` [N, C]: the gradient is that of
   * sum over i and c of classWeights_ic log p(z_i|c).
   */
  async run(x: Float32Array, classWeights: Float32Array): Promise<InputGradient> {
    const { channels, imageSize, classes } = this.card.model;
    const shape = [this.batchSize, channels, imageSize, imageSize];
    const areFloats = isOfKind(x, "Float32Array") && isOfKind(classWeights, "Float32Array");
    if (!areFloats || x.length !== shape.reduce((a, b) => a * b, 1) || classWeights.length !== this.batchSize * classes) {
      throw new UserError(`input gradients: expected x [${shape}] and class weights [${this.batchSize}, ${classes}] as Float32Arrays`);
    }
    const outputs = await this.session.run({
      x: tensor("float32", x, shape),
      class_weights: tensor("float32", classWeights, [this.batchSize, classes]),
    });
    return {
      classLogLikelihoods: outputs["class_log_likelihoods"]!.data as Float32Array,
      representations: outputs["representation"]!.data as Float32Array,
      inputGradient: outputs["input_gradient"]!.data as Float32Array,
    };
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
