import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { putInForce } from "../../src/classify/calibrations.ts";
import { type Classification, Classifier } from "../../src/classify/classifier.ts";
import { readModelFile, withCard } from "../../src/classify/model-file.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { encodePng } from "../../src/data/images.ts";
import { loadDataset } from "../../src/data/registry.ts";
import type { EvaluationRecord } from "../../src/evaluate/record.ts";
import { draw, type GivenFile, give, screenshot, violations, WebPages, words } from "../support/web-page.ts";

const seven = [
  [0.3, 0.22],
  [0.7, 0.22],
  [0.62, 0.45],
  [0.5, 0.8],
] as const;
const unlike = "Not like anything it was trained on rejected";

let pages: WebPages;
let page: Page;
beforeAll(async () => {
  pages = await WebPages.start();
  page = await pages.open();
});
afterAll(async () => {
  await pages?.stop();
});

const pngOf = async ({ pixels, height, width, name }: ImageSet, i: number): Promise<GivenFile> => {
  const size = height * width;
  const buffer = await encodePng({ pixels: pixels.subarray(i * size, (i + 1) * size), height, width, channels: 1 });
  return { name: `${name}-${i}.png`, mimeType: "image/png", buffer };
};
const file = (name: string, content: string | Buffer): GivenFile => ({ name, mimeType: "image/png", buffer: Buffer.from(content) });
const shownWords = async (on: Page, expected: string | RegExp) => {
  await on.waitForFunction(
    ({ source, isExact }) => {
      const shown = document.querySelector(".verdict .words")?.textContent?.trim() ?? "";
      return isExact ? shown === source : new RegExp(source).test(shown);
    },
    typeof expected === "string" ? { source: expected, isExact: true } : { source: expected.source, isExact: false },
  );
};

describe("verdicts", () => {
  it("accepts a drawn 7, and shows why", async () => {
    await draw(page, seven);
    await shownWords(page, "7 accepted");
    expect(await page.locator(".likelihoods tbody tr").count()).toBe(10);
    expect(await page.locator(".likelihoods tr.winner th").textContent()).toBe("7");
    expect(await page.locator(".nearest li .name").first().textContent()).toBe("7");
    await screenshot(page, "drawn");
  });

  it("takes a drawing back stroke by stroke", async () => {
    await draw(page, [
      [0.35, 0.5],
      [0.8, 0.5],
    ]);
    await page.getByRole("button", { name: "Undo" }).click();
    await shownWords(page, "7 accepted");
    await page.getByRole("button", { name: "Clear" }).click();
    expect(await page.getByRole("button", { name: "Undo" }).isDisabled()).toBe(true);
  });

  it("rejects a garment that is dropped, and one that is pasted", async () => {
    const garments = await loadDataset("fashion-mnist-sample", "test");
    await give(page, "drop", [await pngOf(garments, 0)]);
    await shownWords(page, unlike);
    await give(page, "paste", [file("digit.png", readFileSync("samples/images/digit.png"))]);
    await shownWords(page, "7 accepted");
    await give(page, "paste", [file("shirt.png", readFileSync("samples/images/shirt.png"))]);
    await shownWords(page, unlike);
  });

  it("inverts dark on light", async () => {
    await give(page, "drop", [file("digit.png", readFileSync("samples/images/digit.png"))]);
    await shownWords(page, "7 accepted");
    const invert = page.getByRole("button", { name: "Invert light and dark" });
    await invert.click();
    await page.locator('.saw button[aria-pressed="true"]').waitFor();
    const before = await words(page).textContent();
    expect(before).not.toContain("7 accepted");
    await invert.click();
    await shownWords(page, "7 accepted");
  });
});

describe("many images", () => {
  const count = 12;
  let files: GivenFile[];
  let verdicts: (percentile: number) => Promise<string[]>;
  beforeAll(async () => {
    const sets = [await loadDataset("mnist", "test"), await loadDataset("fashion-mnist-sample", "test")];
    files = (await Promise.all(sets.map((set) => Promise.all(Array.from({ length: count }, (_, i) => pngOf(set, i)))))).flat();
    const model = readModelFile("models/mnist/model.onnx");
    verdicts = async (percentile) => {
      const node = await Classifier.load(withCard(model, putInForce(model.card, "training", percentile)), { threads: 1 });
      const said: string[] = [];
      for (const { pixels } of sets) {
        const batch = { pixels: pixels.subarray(0, count * 784), count, height: 28, width: 28, channels: 1 };
        const result: Classification = await node.classify(batch);
        said.push(...Array.from(result.labels, (label, i) => (result.accepted[i] ? model.card.classNames[label]! : "unlike all")));
      }
      await node.release();
      return said;
    };
  });
  const tiles = () => page.locator(".tile .tile-words").allTextContents();

  it("are a grid of Node's verdicts, at any percentile", async () => {
    await page.getByRole("tab", { name: "Files" }).click();
    await page.locator('input[type="file"]').setInputFiles(files);
    await page.waitForFunction((n) => document.querySelectorAll(".tile.accepted, .tile.rejected").length === n, 2 * count);
    expect(await tiles()).toEqual(await verdicts(1));
    await screenshot(page, "grid");
    await page.getByRole("slider").fill("4");
    await page.getByText("10th percentile").waitFor();
    const strict = await verdicts(10);
    expect(await tiles()).toEqual(strict);
    expect(strict).not.toEqual(await verdicts(1));
    expect(await violations(page)).toEqual([]);
    await page.getByRole("slider").fill("1");
  });

  it("can be looked at one by one, and the unreadable among them say why", async () => {
    await give(page, "drop", [files[1]!, file("notes.txt", "not an image"), files[0]!]);
    await page.waitForFunction(() => document.querySelectorAll(".tile.accepted, .tile.failed").length === 3);
    await page.locator(".tile.failed").click();
    expect(await page.locator(".result .error").textContent()).toContain("notes.txt: cannot be read as an image");
    await page.locator(".tile").last().click();
    await shownWords(page, "7 accepted");
  });
});

it("the slider moves with the keyboard and shows what was measured", async () => {
  const { evaluation } = JSON.parse(readFileSync("models/mnist/evaluation.json", "utf8")) as EvaluationRecord;
  const slider = page.getByRole("slider");
  await slider.focus();
  for (const percentile of [1, 2, 5]) {
    const row = evaluation.rejection.find((one) => one.percentile === percentile)!;
    const ood = evaluation.ood.map((set) => set.rejection.find((one) => one.percentile === percentile)!.decisionRejectionRate);
    const share = (rate: number) => `${(100 * rate).toFixed(2)}%`;
    await page.waitForFunction((text) => document.querySelector(".measured dd")?.textContent === text, share(row.rejectionRate));
    expect(await page.locator(".measured dd:not(.small)").allTextContents()).toEqual(
      [row.rejectionRate, row.selectiveAccuracy!].map(share),
    );
    expect(await page.locator(".ood .value").allTextContents()).toEqual(ood.map(share));
    expect(await slider.getAttribute("aria-valuetext")).toContain(`${percentile}`);
    await page.keyboard.press("ArrowRight");
  }
  expect(await page.locator(".rule .note").textContent()).toContain("measured at 1, 2, 5 only");
  // Back to 1, where the shirt of the next test is accepted.
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
});

it("every shipped model can be chosen: a shirt is a shirt to the one of garments", async () => {
  await give(page, "drop", [file("shirt.png", readFileSync("samples/images/shirt.png"))]);
  const node = await Classifier.load("models/fashion-mnist/model.onnx", { threads: 1 });
  const set = await loadDataset("fashion-mnist-sample", "test");
  const first = set.labels.indexOf(6);
  const shirt = await node.classify({
    pixels: set.pixels.subarray(first * 784, (first + 1) * 784),
    count: 1,
    height: 28,
    width: 28,
    channels: 1,
  });
  await node.release();
  expect([node.card.classNames[shirt.labels[0]!], shirt.accepted[0]]).toEqual(["Shirt", 1]);
  await page.locator(".card").getByRole("button", { name: "Use this model : fashion-mnist", exact: true }).click();
  await shownWords(page, "Shirt accepted");
  await page.getByRole("combobox", { name: "Model" }).selectOption("mnist-softmax");
  await page.getByRole("heading", { name: "Log-posterior of each class" }).waitFor();
  expect(await page.locator(".why").textContent()).toContain("log-posterior");
  // Near 0, where a posterior is: four digits that say something.
  for (const text of await page.locator(".likelihoods .value").allTextContents()) expect(text).toMatch(/^(0|−.*[1-9].*)$/);
  expect(await page.locator(".nearest").count()).toBe(0);
  await page.getByRole("combobox", { name: "Model" }).selectOption("mnist");
  await shownWords(page, unlike);
});

it("can be used with the keyboard alone", async () => {
  const page = await pages.open();
  const focused = () =>
    page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  const tabTo = async (name: string) => {
    for (let i = 0; i < 20; i++) {
      if ((await focused()).startsWith(name)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab never came to "${name}"`);
  };
  const press = async (key: string, times: number) => {
    for (let i = 0; i < times; i++) await page.keyboard.press(key);
  };
  await tabTo("Drawing board");
  await press("ArrowUp", 8);
  await page.keyboard.press("Space");
  await press("ArrowDown", 16);
  await page.keyboard.press("Space");
  await shownWords(page, /^1 /);
  await tabTo("Clear");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  expect(await focused()).toBe("Draw");
  await page.keyboard.press("ArrowRight");
  expect(await focused()).toBe("Files");
  await tabTo("a shirt");
  await page.keyboard.press("Enter");
  await shownWords(page, unlike);
  await page.context().close();
});

describe("for everyone", () => {
  const background = (on: Page) => on.evaluate(() => getComputedStyle(document.body).backgroundColor);

  it("light and dark, by the system and by hand, without a violation that axe finds", async () => {
    const page = await pages.open({ colorScheme: "dark" });
    expect(await background(page)).toBe("rgb(16, 19, 22)");
    await draw(page, seven);
    await shownWords(page, "7 accepted");
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "dark");
    await page.getByRole("button", { name: "Dark", exact: true }).click();
    await page.waitForFunction(() => getComputedStyle(document.body).backgroundColor === "rgb(244, 245, 246)");
    await page.getByRole("button", { name: "a shirt" }).click();
    await shownWords(page, unlike);
    expect(await violations(page)).toEqual([]);
    await page.reload();
    await page.locator(".empty").waitFor();
    expect(await background(page)).toBe("rgb(244, 245, 246)");
    for (const tab of ["Files", "Camera"]) {
      await page.getByRole("tab", { name: tab }).click();
      expect(await violations(page)).toEqual([]);
    }
    await page.context().close();
  });

  it("on a phone: nothing wider than the screen, and a finger draws", async () => {
    const page = await pages.open({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, reducedMotion: "reduce" });
    const box = (await page.locator(".board canvas").boundingBox())!;
    const touches = await page.context().newCDPSession(page);
    const touch = (type: "touchStart" | "touchMove" | "touchEnd", points: readonly (readonly [number, number])[]) =>
      touches.send("Input.dispatchTouchEvent", {
        type,
        touchPoints: points.map(([x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height })),
      });
    await touch("touchStart", [seven[0]]);
    for (const [x, y] of seven.slice(1)) await touch("touchMove", [[x, y]]);
    await touch("touchEnd", []);
    await shownWords(page, "7 accepted");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    expect(await page.evaluate(() => getComputedStyle(document.querySelector(".ood .bar")!).transitionDuration)).toBe("0s");
    expect(await violations(page)).toEqual([]);
    await screenshot(page, "phone");
    await page.context().close();
  });

  it("by the camera, and with a message where it may not", async () => {
    const page = await pages.open();
    await page.getByRole("tab", { name: "Camera" }).click();
    await page.getByRole("button", { name: "Start the camera" }).click();
    await page.getByText("The camera cannot be used").waitFor();
    await page.context().grantPermissions(["camera"]);
    await page.getByRole("button", { name: "Start the camera" }).click();
    await page.getByRole("button", { name: "Take the picture" }).click();
    await words(page).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.context().close();
  });
});

/** A PNG's beginning, which says that it is large. */
const huge = (): Buffer => {
  const header = Buffer.from("89504e470d0a1a0a0000000d49484452000000000000000008060000000000000000000000", "hex");
  header.writeUInt32BE(20_000, 16);
  header.writeUInt32BE(10_000, 20);
  return header;
};

describe("errors are said in the page, which goes on", () => {
  it.each([
    ["a file that is no image", file("letter.png", "Dear model"), "letter.png: cannot be read as an image: expected PNG, JPEG"],
    [
      "a damaged image",
      file("cut.png", readFileSync("samples/images/digit.png").subarray(0, 100)),
      "cut.png: cannot be read as an image: it is damaged",
    ],
    ["a picture of 200 megapixels", file("huge.png", huge()), "huge.png: 20000 x 10000 pixels are 200 megapixels, more than the 100"],
  ])("%s", async (_name, given, message) => {
    await give(page, "drop", [given]);
    await page.locator(".result .error", { hasText: message }).waitFor();
    await page.getByRole("button", { name: "a digit" }).click();
    await shownWords(page, "7 accepted");
    expect(await page.locator(".error").count()).toBe(0);
  });

  it("a model that does not come, until it does", async () => {
    const page = await pages.openEmpty();
    await page.route("**/model.onnx", (route) => route.fulfill({ status: 503, body: "" }));
    await page.goto(pages.site.url);
    await page.locator(".result .error", { hasText: "expected the model file, the server answered 503" }).waitFor();
    await page.unroute("**/model.onnx");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("button", { name: "a digit" }).click();
    await shownWords(page, "7 accepted");
    await page.context().close();
  });

  it("a server that does not give its models, which is no reason to offer others", async () => {
    const page = await pages.openEmpty();
    const body = JSON.stringify({ error: { code: "overloaded", message: "try again later" } });
    await page.route("**/v1/models", (route) => route.fulfill({ status: 503, contentType: "application/json", body }));
    await page.goto(pages.site.url);
    await page.locator(".problems .error", { hasText: "The server answered 503: try again later" }).waitFor();
    expect(await page.getByRole("combobox", { name: "Model" }).locator("option").count()).toBe(0);
    await page.context().close();
  });

  it("no models at all", async () => {
    const page = await pages.openEmpty();
    await page.route("**/models.json", (route) => route.fulfill({ status: 404, body: "" }));
    await page.goto(pages.site.url);
    await page.locator(".problems .error", { hasText: "No list of models" }).waitFor();
    await page.context().close();
  });
});

describe("where the page is served", () => {
  it("takes the models of a server that has some, and asks nobody else", async () => {
    const served = await WebPages.start({
      base: "/",
      answers: {
        "/v1/models": JSON.stringify({
          models: [{ name: "mine", classNames: ["T-shirt/top"], file: "/models/fashion-mnist/model.onnx", more: 1 }],
        }),
      },
    });
    const page = await served.openEmpty();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(served.site.url);
    await page.locator(".empty").waitFor();
    expect(await page.getByRole("combobox", { name: "Model" }).locator("option").allTextContents()).toEqual(["mine"]);
    // Numbers measured of another model of this name are not shown as this one's.
    expect(await page.locator(".rule .note").textContent()).toContain("has not been measured");
    await page.getByRole("button", { name: "a shirt" }).click();
    await shownWords(page, "Shirt accepted");
    expect(asked.filter((url) => !url.startsWith(served.site.url) && !/^(data|blob):/.test(url))).toEqual([]);
    expect(served.site.missing).toEqual([]);
    await served.stop();
  });

  it("takes the shipped ones where a host has a page, or no words of ours, for what is not there", async () => {
    for (const [status, body] of [
      [200, "<!doctype html><p>Welcome"],
      [403, "<Error>AccessDenied</Error>"],
    ] as const) {
      const page = await pages.openEmpty();
      await page.route("**/v1/models", (route) => route.fulfill({ status, contentType: "text/html", body }));
      await page.goto(pages.site.url);
      await page.locator(".empty").waitFor();
      expect(await page.getByRole("combobox", { name: "Model" }).locator("option").allTextContents()).toContain("mnist-softmax");
      await page.context().close();
    }
  });

  it("in a folder of a static host, the shipped ones; only the list of a server is missing there", () => {
    expect(new Set(pages.site.missing)).toEqual(new Set(["/some/folder/v1/models"]));
  });
});
