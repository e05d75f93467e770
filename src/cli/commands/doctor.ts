import { cpus, totalmem } from "node:os";
import type { Command } from "commander";
import { messageOf } from "../../core/errors.ts";
import { packageVersion } from "../../core/version.ts";
import { datasetNames, loadDataset } from "../../data/registry.ts";
import { blockedLayout } from "../../runtime/layout.ts";
import { defaultThreads, runtimeVersion } from "../../runtime/session.ts";
import { probeWebGpu } from "../../runtime/webgpu.ts";
import { printJson, printLine } from "../output.ts";

interface Check {
  readonly what: string;
  /** "missing": something optional is not there. */
  readonly state: "ok" | "missing" | "failed";
  readonly detail: string;
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("check this machine: runtime, providers, data sets")
    .description("Checks what this machine has and says how to get what it lacks. Exits with 1 when training cannot work here.")
    .option("--json", "print the checks as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim doctor --json")
    .action(async ({ json }: { readonly json?: boolean }) => {
      const checks = await examine();
      if (json) printJson(checks);
      else for (const { what, state, detail } of checks) printLine(`${state.padEnd(8)} ${what.padEnd(22)} ${detail}`);
      if (checks.some(({ state }) => state === "failed")) process.exitCode = 1;
    });
}

async function examine(): Promise<Check[]> {
  const gigabytes = (totalmem() / 2 ** 30).toFixed(1);
  const checks: Check[] = [
    { what: "sdim", state: "ok", detail: `${packageVersion()} on Node ${process.version}, ${process.platform} ${process.arch}` },
    { what: "machine", state: "ok", detail: `${cpus()[0]?.model ?? "unknown processor"}, ${defaultThreads()} threads, ${gigabytes} GiB` },
    await checked("CPU provider", async () => {
      const block = await blockedLayout();
      const layout = block > 0 ? `blocked layout of ${block} channels` : "no blocked layout here: training is slower";
      return `ONNX Runtime ${runtimeVersion()}, ${layout}`;
    }),
  ];
  const gpu = await probeWebGpu();
  checks.push({ what: "WebGPU provider", state: gpu.works ? "ok" : "missing", detail: gpu.works ? "works" : `not usable: ${gpu.reason}` });
  for (const name of datasetNames) {
    checks.push(await checked(`data set ${name}`, async () => `${(await loadDataset(name, "test")).count} test images`, "missing"));
  }
  return checks;
}

async function checked(
  what: string,
  examineIt: () => string | Promise<string>,
  otherwise: "missing" | "failed" = "failed",
): Promise<Check> {
  try {
    return { what, state: "ok", detail: await examineIt() };
  } catch (error) {
    return { what, state: otherwise, detail: messageOf(error) };
  }
}
