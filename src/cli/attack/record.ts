import { type Circumstances, circumstances, commandLine } from "../../core/circumstances.ts";
import { type MeasuredFile, measuredFile } from "../../evaluate/record.ts";
import { runtimeVersion } from "../../runtime/session.ts";
import type { LoadedModel } from "./model.ts";

/** Which images were attacked. */
export interface AttackedData {
  readonly name: string;
  readonly split: string;
  /** The first images of the split. */
  readonly count: number;
  readonly fingerprint: string;
}

/** What every result of attacks carries: on what, of what and with what it was made. */
export interface AttackSource {
  readonly circumstances: Circumstances;
  readonly modelFile: MeasuredFile;
  readonly data: AttackedData;
}

export const attackSource = ({ path, card }: LoadedModel, data: AttackedData): AttackSource => ({
  circumstances: circumstances(commandLine("sdim", process.argv.slice(2)), runtimeVersion()),
  modelFile: measuredFile(path, card),
  data: { name: data.name, split: data.split, count: data.count, fingerprint: data.fingerprint },
});
