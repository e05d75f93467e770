import type { Interval } from "../metrics/bootstrap.ts";
import { wilsonInterval } from "../metrics/wilson.ts";

/** A share of counted samples; null of none. The interval is Wilson's, 95%; null where samples depend on each other. */
export interface Rate {
  readonly value: number | null;
  readonly of: number;
  readonly interval: Interval | null;
}

export const rate = (successes: number, trials: number): Rate => ({
  value: trials === 0 ? null : successes / trials,
  of: trials,
  interval: wilsonInterval(successes, trials),
});

/** Of what was not measured. */
export const unmeasured: Rate = { value: null, of: 0, interval: null };

export const withoutInterval = (rate: Rate): Rate => ({ ...rate, interval: null });
