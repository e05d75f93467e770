import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runFiles } from "../../web/built-runs.ts";
import { launchChromium } from "../support/chromium.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { appendMetrics, epochLine, stepsLine, writeFinished, writeRunning } from "../support/run-folders.ts";
import { startServer, type TestedServer } from "../support/serving.ts";
import { screenshot, violations, WebPages } from "../support/web-page.ts";

afterAll(removeFolders);

/** What the console has to complain of, the content policy's refusals among it. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  return complaints;
}

const chart = (page: Page, label: string | RegExp) => page.getByRole("img", { name: label });
const inside = (page: Page) => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--inside"));

describe("with sdim serve --runs", () => {
  let folder: string;
  let server: TestedServer;
  let browser: Browser;
  let address: string;
  let page: Page;
  let complaints: string[];
  beforeAll(async () => {
    folder = temporaryFolder();
    writeFinished(join(folder, "done"));
    writeRunning(join(folder, "under way: 50%"), { epochs: 4 });
    mkdirSync(join(folder, "broken"));
    writeRunning(join(folder, "broken"));
    mkdirSync(join(folder, "broken", "model.onnx"));
    server = await startServer({ runsFolder: folder });
    browser = await launchChromium();
    address = await server.listen();
    page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    complaints = complaintsOf(page);
    await page.goto(`${address}/#/runs`);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.app.close();
    await server?.close();
  });

  it("the runs are a list, what is under way first", async () => {
    await page.getByRole("link", { name: "done" }).waitFor();
    const rows = await page.locator("tbody tr").allTextContents();
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatch(/^under way: 50%running–20\.50092\.00%–/);
    expect(rows.find((row) => row.startsWith("done"))).toContain("99.65%");
    expect(rows.find((row) => row.startsWith("broken"))).toContain("broken");
    // Nobody asked for a model yet.
    expect(await page.evaluate(() => performance.getEntriesByType("resource").some(({ name }) => name.endsWith("/file")))).toBe(false);
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "runs");
  });

  it("a finished run has its curves, histograms and tables", async () => {
    await page.getByRole("link", { name: "done" }).click();
    await page.getByRole("heading", { name: "What was measured" }).waitFor();
    for (const label of [
      "Total loss against epochs, from 5.00 to 0.500",
      "Mutual information against epochs",
      "Training accuracy against epochs",
      "Learning rate against epochs, from 0.00300 to 0.00300",
      "Validation accuracy against epochs, from 0.910 to 0.920",
      "ROC curve of fashion-mnist",
      "Risk-coverage curve",
      "Class 7: log-likelihoods of its images, median -",
      "Success of attacks against the distance allowed; at 0.1 all attacks together make 40.00% wrong and accepted",
    ]) {
      const found = chart(page, label).first();
      expect(await found.locator("path, rect").count(), label).toBeGreaterThan(0);
      expect((await found.boundingBox())!.width, label).toBeGreaterThan(100);
    }
    expect(await chart(page, /^Class .: log-likelihoods/).count()).toBe(10);
    const text = (await page.locator("main").textContent())!;
    for (const words of ["accuracy on 10,000 mnist images", "99.65%", "fashion-mnist rejected (decision rule)", "Under attack"]) {
      expect(text).toContain(words);
    }
    await page.getByRole("combobox", { name: "Against" }).selectOption({ index: 1 });
    await page.waitForFunction(() =>
      [...document.querySelectorAll("svg")].some((svg) => svg.getAttribute("aria-label")!.includes("median -50")),
    );
    const changed = page.locator("tr", { has: page.getByRole("rowheader", { name: "validation", exact: true }) });
    expect(await changed.locator("strong").textContent()).toBe("0.1");
    await page.getByText("Rejected, the least likely first").click();
    expect(await page.getByText("rejected, closest to 1").isVisible()).toBe(true);
    expect(await page.locator(".examples img").evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
    await page.getByText("The epochs as a table").click();
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "run");
  });

  it("one that cannot be read in full says why", async () => {
    await page.goto(`${address}/#/runs/broken`);
    await page.getByRole("alert").filter({ hasText: "model.onnx: not a file" }).waitFor();
    await page.goto(`${address}/#/runs/nothing`);
    await page.getByRole("alert").filter({ hasText: "There is no run “nothing”" }).waitFor();
    expect(await page.getByRole("link", { name: "done" }).isVisible()).toBe(true);
  });

  it("a run under way shows what it has come to, without loading the page anew", async () => {
    await page.goto(`${address}/#/runs/${encodeURIComponent("under way: 50%")}`);
    await chart(page, "Validation accuracy against epochs, from 0.910 to 0.920").waitFor();
    expect(await page.getByRole("progressbar", { name: "Epochs done" }).getAttribute("value")).toBe("2");
    appendMetrics(join(folder, "under way: 50%"), stepsLine(300), epochLine(3));
    await chart(page, "Validation accuracy against epochs, from 0.910 to 0.930").waitFor();
    expect(await page.getByRole("progressbar", { name: "Epochs done" }).getAttribute("value")).toBe("3");
    expect(await page.locator(".facts").textContent()).toContain("3 of 4");
  });

  it("with the keyboard alone: to the runs, into one, and back to the classifier with what it said", async () => {
    await page.goto(`${address}/#/`);
    await page.locator(".empty").waitFor();
    await page.getByRole("button", { name: "a digit" }).click();
    await page.getByText("accepted", { exact: true }).waitFor();
    const focusedText = () => page.evaluate(() => document.activeElement?.textContent ?? "");
    const tabTo = async (text: string) => {
      for (let i = 0; i < 12; i++) {
        if ((await focusedText()) === text) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`Tab never came to "${text}"`);
    };
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await tabTo("Runs");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.textContent === "Training runs");
    await page.getByRole("link", { name: "done" }).waitFor();
    await tabTo("done");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.textContent === "done");
    await page.getByRole("link", { name: "Classify" }).press("Enter");
    await page.getByText("accepted", { exact: true }).waitFor();
    expect(complaints).toEqual([]);
  });
});

describe("as a static site", () => {
  const runs = "/some/folder/runs";
  let pages: WebPages;
  afterAll(async () => {
    await pages?.stop();
  });

  it("built with a folder: its runs as they were then, dark and on a phone", async () => {
    const folder = temporaryFolder();
    writeFinished(join(folder, "a"));
    const answers = Object.fromEntries(runFiles(folder).map(({ fileName, source }) => [`/some/folder/${fileName}`, source]));
    expect(Object.keys(answers)).toEqual([`${runs}.json`, `${runs}/0.json`]);
    pages = await WebPages.start({ answers });
    const page = await pages.openEmpty({ colorScheme: "dark", viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
    const complaints = complaintsOf(page);
    await page.goto(`${pages.site.url}#/runs`);
    await page.getByText("1 run, as they were when this page was built").first().waitFor();
    await page.getByRole("link", { name: "a", exact: true }).tap();
    await chart(page, "Total loss against epochs").waitFor();
    await page.getByRole("heading", { name: "Under attack" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    expect(await inside(page)).toContain("#56b4e9");
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "run-phone-dark");
    // A static host has no v1/runs, which Chromium notes; nothing else is complained of.
    expect(complaints.filter((text) => !text.includes("404"))).toEqual([]);
    expect(new Set(pages.site.missing)).toEqual(new Set(["/some/folder/v1/models", "/some/folder/v1/runs"]));
    await page.context().close();
  });

  it("built without one: says what would show some", async () => {
    const without = await WebPages.start();
    const page = await without.openEmpty();
    await page.goto(`${without.site.url}#/runs`);
    await page.getByText("SDIM_RUNS=FOLDER npm run build").waitFor();
    expect(await violations(page)).toEqual([]);
    await without.stop();
  });
});
