import { createHash } from "node:crypto";
import { UserError } from "../core/errors.ts";

/** Part `index` (from 1) of `count` parts. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** "2/8" -> part 2 of 8. Errors: UserError. */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,6})\/(\d{1,6})$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || count === undefined || index < 1 || index > count)
    throw new UserError(`shard: expected i/n with i from 1 to n, for example 1/4, got "${text}"`);
  return { index, count };
}

export const showShard = ({ index, count }: Shard): string => `${index}/${count}`;

/** Whether a file is in a shard: its name's SHA-256 decides alone, so every file is in exactly one, on every machine, whatever else there is. */
export const isInShard = (name: string, { index, count }: Shard): boolean =>
  count === 1 || createHash("sha256").update(name).digest().readUInt32BE(0) % count === index - 1;
