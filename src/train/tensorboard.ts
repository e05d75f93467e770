import { appendFileSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { messageOf, UserError } from "../core/errors.ts";
import { makeFolder, statIfPossible } from "../core/files.ts";
import type { EpochRecord, HistoryRecord, NamedMetrics } from "./records.ts";

// TensorBoard's event files: records of tensorflow.Event messages (tensorflow/core/util/event.proto, framework/summary.proto). A record is
//   length u64, masked crc32c of the length u32, message, masked crc32c of the message u32       (little-endian; lib/io/record_writer.cc)

/** Field numbers of event.proto and summary.proto. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const summary = { value: 1 } as const;
const summaryValue = { tag: 1, simpleValue: 2 } as const;
const sessionLog = { status: 1, start: 1 } as const;

/** Castagnoli's polynomial, bits reversed. */
const polynomial = 0x82f63b78;
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ polynomial : value >>> 1;
  return value;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

/** Rotated right by 15 bits and moved, so that a checksum of data with checksums in it is not their sum. */
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

function encodeRecord(message: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + message.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, masked(crc32c(record.subarray(0, 8))), true);
  record.set(message, 12);
  view.setUint32(12 + message.length, masked(crc32c(message)), true);
  return record;
}

const header = (step: number): BinaryWriter =>
  new BinaryWriter()
    .tag(event.wallTime, WireType.Bit64)
    .double(Date.now() / 1000)
    .tag(event.step, WireType.Varint)
    .int64(step);

function scalars(step: number, values: Readonly<Record<string, number>>): Uint8Array {
  const writer = header(step).tag(event.summary, WireType.LengthDelimited).fork();
  for (const [tag, value] of Object.entries(values)) {
    writer.tag(summary.value, WireType.LengthDelimited).fork();
    writer.tag(summaryValue.tag, WireType.LengthDelimited).string(tag);
    writer.tag(summaryValue.simpleValue, WireType.Bit32).float(value);
    writer.join();
  }
  return writer.join().finish();
}

const losses = ({ loss, parts, trainAccuracy }: NamedMetrics, prefix: string): Record<string, number> => ({
  [`${prefix}/loss`]: loss,
  ...Object.fromEntries(Object.entries(parts).map(([name, value]) => [`${prefix}/${name}`, value])),
  [`${prefix}/accuracy`]: trainAccuracy,
});

const prefix = "events.out.tfevents.";

/** Those of all sessions; none where there is no such folder. */
export const eventFilesIn = (folder: string): string[] =>
  statIfPossible(folder)?.isDirectory()
    ? readdirSync(folder)
        .filter((name) => name.startsWith(prefix))
        .map((name) => join(folder, name))
    : [];

/** One event file of a training session; a resumed run gets a further one, which tells TensorBoard to forget what came after its start. */
export class EventFile {
  readonly path: string;

  /** Errors: UserError when `folder` cannot be written. */
  constructor(folder: string, startStep: number) {
    try {
      makeFolder(folder);
      const seconds = String(Math.floor(Date.now() / 1000)).padStart(10, "0");
      // TensorBoard reads the files of a folder in the order of their names.
      this.path = join(folder, `${prefix}${seconds}.${hostname()}.${process.pid}.${readdirSync(folder).length}`);
      const version = new BinaryWriter().tag(event.wallTime, WireType.Bit64).double(Date.now() / 1000);
      version.tag(event.fileVersion, WireType.LengthDelimited).string("brain.Event:2");
      // Forgets what an earlier session wrote of this step and later.
      const start = header(startStep + 1)
        .tag(event.sessionLog, WireType.LengthDelimited)
        .fork();
      start.tag(sessionLog.status, WireType.Varint).int32(sessionLog.start);
      writeFileSync(this.path, Buffer.concat([encodeRecord(version.finish()), encodeRecord(start.join().finish())]));
    } catch (error) {
      throw new UserError(`cannot write event files into ${folder}: ${messageOf(error)}`, { cause: error });
    }
  }

  steps(record: HistoryRecord): void {
    const { step, learningRate, imagesPerSecond } = record;
    this.append(step, { ...losses(record, "train"), learningRate, imagesPerSecond });
  }

  epoch(record: EpochRecord): void {
    const { validation, step, seconds } = record;
    const { accuracy, logLikelihood, rejectionRate } = validation ?? { rejectionRate: null };
    this.append(step, {
      ...losses(record, "epoch"),
      "epoch/seconds": seconds,
      ...(accuracy === undefined ? {} : { "validation/accuracy": accuracy, "validation/logLikelihood": logLikelihood! }),
      ...(rejectionRate === null ? {} : { "validation/rejectionRate": rejectionRate }),
    });
  }

  private append(step: number, values: Readonly<Record<string, number>>): void {
    try {
      appendFileSync(this.path, encodeRecord(scalars(step, values)));
    } catch (error) {
      throw new UserError(`cannot write ${this.path}: ${messageOf(error)}`, { cause: error });
    }
  }
}
