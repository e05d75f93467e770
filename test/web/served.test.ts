import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launchChromium } from "../support/chromium.ts";
import { startServer, type TestedServer } from "../support/serving.ts";
import { draw, words } from "../support/web-page.ts";

let server: TestedServer;
let browser: Browser;
beforeAll(async () => {
  server = await startServer({}, [{ name: "digits", path: "models/mnist/model.onnx" }]);
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.app.close();
});

it("the page that sdim serve serves runs its models, under its content policy", async () => {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(await server.listen());
  await page.locator(".empty").waitFor();
  expect(await page.getByLabel("Model").locator("option").allTextContents()).toEqual(["digits"]);
  await draw(page, [
    [0.3, 0.22],
    [0.7, 0.22],
    [0.62, 0.45],
    [0.5, 0.8],
  ]);
  await page.waitForFunction(() => document.querySelector(".verdict .words")?.textContent?.trim() === "7 accepted");
  expect((await words(page).textContent())?.trim()).toBe("7 accepted");
  // Threads of WebAssembly: the isolation that the server's headers ask for.
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
  expect(complaints).toEqual([]);
});
