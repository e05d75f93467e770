import { lockFolder } from "../../src/train/lock.ts";

// A training that only holds its folder: `lock-child.ts OUT`. Says "ready", and on the first line from stdin tries to take the folder; holds it until stdin ends.

process.stdout.write("ready\n");
process.stdin.once("data", () => {
  try {
    const unlock = lockFolder(process.argv[2]!);
    process.stdout.write("held\n");
    process.stdin.once("end", unlock);
  } catch (error) {
    process.stdout.write(`${(error as Error).message}\n`);
  }
});
