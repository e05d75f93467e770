import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium } from "../support/chromium.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { writeRunning } from "../support/run-folders.ts";
import { startServer, type TestedServer } from "../support/serving.ts";
import { screenshot, violations, words } from "../support/web-page.ts";

const key = "a-key-of-this-test";
let server: TestedServer;
let browser: Browser;
let address: string;
beforeAll(async () => {
  const runsFolder = temporaryFolder();
  writeRunning(join(runsFolder, "under way"));
  server = await startServer({ apiKey: key, runsFolder }, [{ name: "digits", path: "models/mnist/model.onnx" }]);
  address = await server.listen();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.app.close();
  await server?.close();
  removeFolders();
});

const field = (page: Page) => page.getByLabel("API key", { exact: true });

/** A page at `hash`, and what it asked for: the address and the key. */
async function open(hash = ""): Promise<{ readonly page: Page; readonly asked: string[]; readonly complaints: string[] }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const [asked, complaints]: string[][] = [[], []];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/v1/")) asked!.push(`${pathname} ${request.headers()["x-api-key"] ?? "without"}`);
  });
  // Chromium notes a 401 by itself.
  page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && complaints!.push(message.text()));
  page.on("pageerror", (error) => complaints!.push(error.message));
  await page.goto(`${address}/${hash}`);
  await field(page).waitFor();
  return { page, asked: asked!, complaints: complaints! };
}

describe("the page of a server with an API key", () => {
  it("asks for it, says when it is refused, and then has the server's models and no others", async () => {
    const { page, asked, complaints } = await open();
    expect(await page.getByRole("combobox", { name: "Model" }).locator("option").count()).toBe(0);
    expect(await page.getByRole("button", { name: "Use this model" }).count()).toBe(0);
    // Who types need not look for the field.
    expect(await field(page).evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await field(page).getAttribute("type")).toBe("password");
    expect(await violations(page)).toEqual([]);

    await page.keyboard.type("some-other-key-of-16");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "The server refused this key." }).waitFor();
    expect(await field(page).getAttribute("aria-invalid")).toBe("true");
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "api-key");
    await field(page).fill("käse");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByRole("alert").filter({ hasText: "only ASCII characters" }).waitFor();

    await field(page).fill(` ${key} `);
    await page.keyboard.press("Enter");
    await page.locator(".empty").waitFor();
    expect(await field(page).count()).toBe(0);
    expect(await page.getByRole("combobox", { name: "Model" }).locator("option").allTextContents()).toEqual(["digits"]);
    await page.getByRole("button", { name: "a digit" }).click();
    await page.getByText("accepted", { exact: true }).waitFor();
    expect((await words(page).textContent())?.trim()).toBe("7 accepted");
    expect(asked).toEqual([
      "/v1/models without",
      "/v1/models some-other-key-of-16",
      `/v1/models ${key}`,
      `/v1/models ${key}`,
      `/v1/models/digits/file ${key}`,
    ]);

    await page.getByRole("link", { name: "Runs" }).click();
    await page.getByRole("link", { name: "under way" }).click();
    await page.getByText("The epochs as a table").waitFor();
    expect(new Set(asked.slice(5))).toEqual(new Set([`/v1/runs ${key}`, `/v1/runs/under%20way ${key}`]));
    expect(complaints).toEqual([]);

    // In memory only.
    expect(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie])).toEqual([0, 0, ""]);
    await page.reload();
    await field(page).waitFor();
    expect(await field(page).inputValue()).toBe("");
    await page.close();
  });

  it("asks for it as well where runs are looked at first, and then shows them", async () => {
    const { page, complaints } = await open("#/runs");
    expect(await page.getByRole("heading", { name: "Training runs" }).count()).toBe(0);
    await field(page).fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "under way" }).waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("asks again when the server's key has become another, and takes up where it was", async () => {
    const { page } = await open();
    await field(page).fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "a digit" }).click();
    await page.getByText("accepted", { exact: true }).waitFor();
    const refuse = { status: 401, contentType: "application/json", body: '{"error":{"code":"unauthorized","message":"a key"}}' };
    await page.route("**/v1/runs", (route) => route.fulfill(refuse));
    await page.getByRole("link", { name: "Runs" }).click();
    await field(page).waitFor();
    await page.unroute("**/v1/runs");
    await field(page).fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "under way" }).waitFor();
    await page.getByRole("link", { name: "Classify" }).click();
    await page.getByText("accepted", { exact: true }).waitFor();
    await page.close();
  });
});
