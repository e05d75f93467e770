import { type Browser, chromium } from "playwright-core";

/** Debian's Chromium; without it, vitest.config.ts leaves test/web out. */
export const chromiumPath = "/usr/bin/chromium";

// Without a sandbox, because CI runs as root; the pages are our own.
export const launchChromium = (args: readonly string[] = []): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", ...args] });
