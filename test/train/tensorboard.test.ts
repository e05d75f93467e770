import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { crc32c, EventFile } from "../../src/train/tensorboard.ts";
import { temporaryFolder } from "../support/digits.ts";

/** CRC-32C bit by bit, and the unmasking as TensorFlow's crc32c.h has it: another way than the one under test. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}
const unmask = (value: number): number => {
  const rotated = (value - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};

/** The messages of an event file whose lengths and checksums are right. */
function messagesOf(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(slowCrc(message));
    messages.push(message);
    at += 16 + length;
  }
  return messages;
}

/** Fields by number: varints as numbers, doubles and floats as such, the rest as bytes. */
function fieldsOf(message: Uint8Array): [number, number | Uint8Array][] {
  const reader = new BinaryReader(message);
  const fields: [number, number | Uint8Array][] = [];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    fields.push([field, wire === 0 ? Number(reader.int64()) : wire === 1 ? reader.double() : wire === 5 ? reader.float() : reader.bytes()]);
  }
  return fields;
}

function scalarsOf(message: Uint8Array): { step: number; values: Record<string, number> } {
  const event = new Map(fieldsOf(message));
  expect(event.get(1)).toBeGreaterThan(1.6e9);
  const values = fieldsOf(event.get(5) as Uint8Array).map(([field, value]) => {
    expect(field).toBe(1);
    const scalar = new Map(fieldsOf(value as Uint8Array));
    return [Buffer.from(scalar.get(1) as Uint8Array).toString(), scalar.get(2)];
  });
  return { step: event.get(2) as number, values: Object.fromEntries(values) };
}

describe("event files", () => {
  it("hold the records as scalars, in records whose checksums are right", () => {
    // RFC 3720, B.4
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    const folder = join(temporaryFolder(), "tensorboard");
    const file = new EventFile(folder, 40);
    const metrics = { loss: 1.5, parts: { margin: 0.25 }, trainAccuracy: 0.75 };
    file.steps({ step: 60, epoch: 2, learningRate: 0.125, imagesPerSecond: 300, ...metrics });
    const epoch = { epoch: 2, step: 300_000, seconds: 8, elapsedSeconds: 16, ...metrics };
    file.epoch({ ...epoch, validation: { accuracy: 0.5, logLikelihood: -64, rejectionRate: 0.0625 } });
    file.epoch({ ...epoch, validation: null });
    const names = readdirSync(folder);
    expect(names).toEqual([expect.stringMatching(/^events\.out\.tfevents\.\d{10}\./)]);
    const [version, start, ...records] = messagesOf(readFileSync(join(folder, names[0]!)));
    expect(Buffer.from(new Map(fieldsOf(version!)).get(3) as Uint8Array).toString()).toBe("brain.Event:2");
    // SessionLog START, which makes TensorBoard drop what it has of this step and later.
    expect(new Map(fieldsOf(start!)).get(2)).toBe(41);
    expect(fieldsOf(new Map(fieldsOf(start!)).get(7) as Uint8Array)).toEqual([[1, 1]]);
    const losses = (prefix: string) => ({ [`${prefix}/loss`]: 1.5, [`${prefix}/margin`]: 0.25, [`${prefix}/accuracy`]: 0.75 });
    expect(records.map(scalarsOf)).toEqual([
      { step: 60, values: { ...losses("train"), learningRate: 0.125, imagesPerSecond: 300 } },
      {
        step: 300_000,
        values: {
          ...losses("epoch"),
          "epoch/seconds": 8,
          "validation/accuracy": 0.5,
          "validation/logLikelihood": -64,
          "validation/rejectionRate": 0.0625,
        },
      },
      { step: 300_000, values: { ...losses("epoch"), "epoch/seconds": 8 } },
    ]);
  });

  it("say when they cannot be written", () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    expect(() => new EventFile(file, 0)).toThrow(UserError);
    expect(() => new EventFile(file, 0)).toThrow(`cannot write event files into ${file}`);
  });
});
