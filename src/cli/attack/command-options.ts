import type { Split } from "../../data/registry.ts";
import type { Provider } from "../../runtime/session.ts";
import type { DataOptions } from "../own-images.ts";

/** What the command line says to `sdim attack`. */
export interface AttackCommandOptions extends DataOptions {
  readonly data: string;
  readonly split: Split;
  readonly attack?: string;
  readonly list?: boolean;
  readonly standard?: boolean;
  readonly twin?: string;
  readonly quick?: boolean;
  readonly count?: number;
  readonly epsilon?: readonly number[];
  readonly epsilonL2?: readonly number[];
  readonly carryOver?: boolean;
  readonly targeted?: boolean;
  readonly targets?: string;
  readonly criterion?: string;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly percentile?: readonly number[];
  readonly seed: number;
  readonly out?: string;
  readonly grid?: string;
  readonly gridRows?: number;
  readonly chunk?: number;
  readonly provider: Provider;
  readonly threads?: number;
  readonly json?: boolean;
}
