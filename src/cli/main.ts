import { exitCodes, run } from "./run.ts";

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.done);
  process.stderr.write(`sdim: cannot write the output: ${error.message}\n`);
  process.exit(exitCodes.failure);
});

// Nor is one that no longer listens to progress: the work goes on.
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const code = await run(process.argv.slice(2));
// Commands that end by themselves may have set one.
if (code !== exitCodes.done) process.exitCode = code;
