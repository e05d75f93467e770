/** A record of CIFAR-10's binary version: the label, then planes of red, green and blue. `pixel`: the byte at a channel, row and column. */
export function cifarRecord(label: number, pixel: (channel: number, y: number, x: number) => number): Buffer {
  const record = Buffer.alloc(3073);
  record[0] = label;
  for (let c = 0; c < 3; c++) for (let y = 0; y < 32; y++) for (let x = 0; x < 32; x++) record[1 + c * 1024 + y * 32 + x] = pixel(c, y, x);
  return record;
}

/** Records whose every pixel tells where it is and of which image. */
export const cifarRecords = (labels: readonly number[], first = 0): Buffer =>
  Buffer.concat(labels.map((label, n) => cifarRecord(label, (c, y, x) => (100 * c + 3 * y + x + first + n) % 256)));
