import { existsSync } from "node:fs";
import { configDefaults, defineConfig } from "vitest/config";
import { chromiumPath } from "./test/support/chromium.ts";

const withoutBrowser = existsSync(chromiumPath) ? [] : ["test/web/**"];
if (withoutBrowser.length > 0) {
  console.warn(`test/web is left out: it needs ${chromiumPath}, which scripts/install-debian-packages.sh installs`);
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...withoutBrowser],
    setupFiles: ["test/support/setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
