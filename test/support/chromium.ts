import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const executablePath = "/usr/bin/chromium";

/** Debian's Chromium. Errors: says how to install it. */
export async function launchChromium(args: readonly string[] = []): Promise<Browser> {
  if (!existsSync(executablePath)) {
    throw new Error(
      `${executablePath} is not there: the tests of the web page need it. Install it with scripts/install-debian-packages.sh`,
    );
  }
  // Without a sandbox, because CI runs as root; the pages are our own.
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
}
