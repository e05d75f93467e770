import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import type * as Sdim from "../../src/browser.ts";
import { launchChromium } from "./chromium.ts";
import { StaticSite } from "./static-site.ts";

declare global {
  /** `sdim/browser`, in the page of test/web/entry. */
  var sdim: typeof Sdim;
}

/** `sdim/browser` bundled and loaded in a page, with the MNIST model beside it. */
export class EntryPage {
  readonly page: Page;
  readonly folder: string;
  private readonly browser: Browser;
  private readonly site: StaticSite;

  private constructor(page: Page, folder: string, browser: Browser, site: StaticSite) {
    this.page = page;
    this.folder = folder;
    this.browser = browser;
    this.site = site;
  }

  static async open(): Promise<EntryPage> {
    const folder = mkdtempSync(join(tmpdir(), "sdim-entry-"));
    const browser = await launchChromium(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]);
    await build({
      root: "test/web/entry",
      base: "./",
      configFile: false,
      logLevel: "error",
      build: { outDir: folder, emptyOutDir: true, target: "es2022", rollupOptions: { onwarn: () => undefined } },
    });
    copyFileSync("models/mnist/model.onnx", join(folder, "model.onnx"));
    const site = new StaticSite(folder);
    await site.start();
    const page = await browser.newPage();
    const entry = new EntryPage(page, folder, browser, site);
    await entry.goto();
    return entry;
  }

  private async goto(): Promise<void> {
    await this.page.goto(this.site.url);
    await this.page.waitForFunction("globalThis.sdim !== undefined");
  }

  /** The same page without cross-origin isolation. */
  async openPlain(): Promise<{ readonly page: Page; readonly close: () => Promise<void> }> {
    const site = new StaticSite(this.folder, { isolated: false });
    await site.start();
    const page = await this.browser.newPage();
    await page.goto(site.url);
    await page.waitForFunction("globalThis.sdim !== undefined");
    const close = async () => {
      await page.close();
      await site.stop();
    };
    return { page, close };
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.site.stop();
    rmSync(this.folder, { recursive: true });
  }
}
