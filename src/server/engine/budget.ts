/** So much of something for all requests together. */
export class Budget {
  readonly limit: number;
  private taken = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.taken;
  }

  /** Whether there was enough left; only then it is taken. */
  take(amount: number): boolean {
    if (this.taken + amount > this.limit) return false;
    this.taken += amount;
    return true;
  }

  give(amount: number): void {
    this.taken -= amount;
  }
}
