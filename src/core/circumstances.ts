import { arch, cpus, loadavg, platform } from "node:os";
import { packageVersion } from "./version.ts";

/** On what, with what and when a figure was measured. */
export interface Circumstances {
  readonly command: string;
  /** ISO 8601 */
  readonly at: string;
  readonly sdim: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly os: string;
  readonly machine: string;
  readonly cores: number;
  /** One-minute load average when asked. */
  readonly load: number;
}

/** Of now. `onnxruntime`: its version, which only the runtime's room knows. */
export function circumstances(command: string, onnxruntime: string): Circumstances {
  return {
    command,
    at: new Date().toISOString(),
    sdim: packageVersion(),
    node: process.version,
    onnxruntime,
    os: `${platform()} ${arch()}`,
    machine: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    load: loadavg()[0]!,
  };
}

/** A command as it would be typed, with quotes where a shell needs them. */
export const commandLine = (program: string, args: readonly string[]): string =>
  [program, ...args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))].join(" ");
