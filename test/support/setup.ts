// Nothing under test writes to the console of its own accord.
for (const method of ["log", "info", "warn", "error", "debug"] as const) {
  console[method] = (...args: unknown[]) => {
    throw new Error(`unexpected console.${method}: ${args.map(String).join(" ")}`);
  };
}
