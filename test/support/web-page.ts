import { existsSync, mkdirSync } from "node:fs";
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { launchChromium } from "./chromium.ts";
import { type SiteOptions, StaticSite } from "./static-site.ts";

const built = "dist/web";
const artefacts = "artefacts/web";

/** A picture file as a page gets it. */
export interface GivenFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

/** The built web page, served from a folder of a static host, in Chromium. */
export class WebPages {
  readonly site: StaticSite;
  private readonly browser: Browser;

  private constructor(site: StaticSite, browser: Browser) {
    this.site = site;
    this.browser = browser;
  }

  static async start(options: SiteOptions = {}): Promise<WebPages> {
    if (!existsSync(`${built}/index.html`)) throw new Error(`${built} is not there. Build it with: npm run build`);
    const browser = await launchChromium(["--use-fake-device-for-media-stream"]);
    const site = new StaticSite(built, { base: "/some/folder/", ...options });
    await site.start();
    return new WebPages(site, browser);
  }

  /** A page of its own, with the model loaded. */
  async open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.openEmpty(options);
    await page.goto(this.site.url);
    await page.locator(".empty").waitFor();
    return page;
  }

  async openEmpty(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
    // A busy machine takes long to compile 14 MB of WebAssembly; the tests' own limit is above this.
    context.setDefaultTimeout(60_000);
    return context.newPage();
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.site.stop();
  }
}

/** Kept for people to look at; not in the repository. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(artefacts, { recursive: true });
  await page.screenshot({ path: `${artefacts}/${name}.png`, fullPage: true });
}

/** Draws a line through points given as shares of the board. */
export async function draw(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  const box = (await page.locator(".board canvas").boundingBox())!;
  const at = ([x, y]: readonly [number, number]) => [box.x + x * box.width, box.y + y * box.height] as const;
  const [first, ...rest] = points;
  await page.mouse.move(...at(first!));
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...at(point), { steps: 8 });
  await page.mouse.up();
}

/** Drops or pastes files, as a person does. */
export async function give(page: Page, how: "drop" | "paste", files: readonly GivenFile[]): Promise<void> {
  const encoded = files.map(({ name, mimeType, buffer }) => ({ name, type: mimeType, base64: buffer.toString("base64") }));
  await page.evaluate(
    ({ how, encoded }) => {
      const data = new DataTransfer();
      for (const { name, type, base64 } of encoded) {
        data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type }));
      }
      const init = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(
        how === "drop"
          ? new DragEvent("drop", { ...init, dataTransfer: data })
          : new ClipboardEvent("paste", { ...init, clipboardData: data }),
      );
    },
    { how, encoded },
  );
}

export const words = (page: Page): Locator => page.locator(".verdict .words");

/** What axe finds wrong with a page. */
export async function violations(on: Page): Promise<string[]> {
  await on.evaluate(axe.source);
  const found = await on.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<axe.AxeResults> } };
    return (await axe.run()).violations;
  });
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
}
