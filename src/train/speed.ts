/** Images per second over the last steps. */
export class Speed {
  private readonly batchSize: number;
  private readonly window: number;
  private times: number[] = [performance.now()];

  constructor(batchSize: number, window: number) {
    this.batchSize = batchSize;
    this.window = window;
  }

  tick(): void {
    this.times.push(performance.now());
    if (this.times.length > this.window + 1) this.times.shift();
  }

  /** After work that is no training: what it took does not count. */
  skip(pausedMs: number): void {
    this.times = this.times.map((time) => time + pausedMs);
  }

  get imagesPerSecond(): number {
    const milliseconds = this.times.at(-1)! - this.times[0]!;
    return milliseconds === 0 ? 0 : ((this.times.length - 1) * this.batchSize * 1000) / milliseconds;
  }
}
