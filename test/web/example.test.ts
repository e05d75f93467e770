import { build } from "vite";
import { beforeAll, expect, it } from "vitest";
import { launchChromium } from "../support/chromium.ts";
import { temporaryFolder } from "../support/digits.ts";
import { StaticSite } from "../support/static-site.ts";

const folder = temporaryFolder();
beforeAll(async () => {
  await build({
    root: "examples/browser",
    base: "./",
    configFile: false,
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: true, target: "es2022", rollupOptions: { onwarn: () => undefined } },
  });
});

it("examples/browser runs against the built package", async () => {
  const [site, browser] = [new StaticSite(folder), await launchChromium()];
  await site.start();
  const page = await browser.newPage();
  await page.goto(site.url);
  await page.getByText("Ready: 10 classes.").waitFor();
  await page.locator("input").setInputFiles(["samples/images/digit.png", "samples/images/shirt.png", "package.json"]);
  await page.getByText("package.json: cannot be read as an image").waitFor();
  expect((await page.locator("li").allTextContents()).slice(0, 2)).toEqual(["digit.png: 7", "shirt.png: I don't know"]);
  await browser.close();
  await site.stop();
});
