import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import type { StudyResult } from "../../src/ablate/ablate.ts";
import { compare, type StudyTraining } from "../../src/ablate/compare.ts";
import { studyFigure } from "../../src/ablate/figure.ts";
import { parseStudy } from "../../src/ablate/study.ts";
import { studyMarkdown } from "../../src/ablate/table.ts";
import { writeStudy } from "../../src/ablate/write.ts";
import { measured } from "../support/study.ts";

const study = parseStudy(
  {
    name: "x",
    data: "digits",
    limit: 200,
    seeds: [1, 2],
    base: { epochs: 2 },
    outliers: ["constant", "uniform-noise"],
    reported: ["others"],
    variants: {
      m1: { description: "a | b", config: { margin: 1, widths: [8, 8, 8, 8] } },
      m2: { description: "x", config: { margin: 2 } },
      m3: { description: "x", config: { margin: 3 }, seeds: [1, 2] },
    },
  },
  "x.yaml",
);
const circumstances = {
  command: "sdim ablate x.yaml",
  at: "2026-01-02T03:04:05.000Z",
  sdim: "1.2.3",
  node: "v20",
  onnxruntime: "1.0",
  os: "linux x64",
  machine: "a machine",
  cores: 3,
  load: 1,
};
const set = (name: string, count: number) => ({ name, split: "test", count, fingerprint: "f" });

function resultOf(outcomes: Readonly<Record<string, StudyTraining["outcome"]>>): StudyResult {
  const ids = ["base-1", "base-2", "m1-1", "m2-1", "m3-1", "m3-2"];
  const trainings = ids.map((folder) => ({
    id: folder.slice(0, -2),
    seed: Number(folder.at(-1)),
    folder,
    outcome: outcomes[folder] ?? ({ kind: "missing" } as const),
    circumstances: outcomes[folder] ? circumstances : null,
  }));
  return {
    circumstances,
    study,
    classNames: ["0", "1"],
    data: {
      training: set("digits", 180),
      validation: set("digits", 20),
      test: set("digits", 100),
      outliers: [set("set 0", 50), set("set 1", 50)],
      reported: [set("set 0", 50)],
    },
    comparison: compare(study, trainings),
    trainings,
  };
}

const partial = resultOf({
  "base-1": measured(0.9, [0.7, 0.9]),
  "base-2": measured(0.92, [0.7, 0.9]),
  "m1-1": measured(0.95, [0.8, 0.9]),
  "m2-1": { kind: "failed", reason: "loss = NaN |\nat once" },
  "m3-2": measured(0.8, [0.7, 0.9]),
});

describe("studyMarkdown", () => {
  const text = studyMarkdown(partial);
  const [choosing, reported] = text.split("## What is only reported");

  it("has the numbers to choose by, their differences and the spread", () => {
    expect(choosing).toContain("| base | - | 1, 2 | 91.00 | 0.8000 | 0.8550 | - | - | spread of its seeds: 2.00 and 0.0000 |");
    expect(choosing).toContain("| m1 | widths [8,8,8,8], margin 1 | 1 | 95.00 | 0.8500 | 0.9000 | +4.00 | +0.0500 | better |");
    expect(choosing).toContain("| m3 | margin 3 | 2 | 80.00 | 0.8000 | 0.8000 | -11.00 | +0.0000 | worse |");
    expect(choosing).toContain("| m2 | margin 2 | - | - | - | - | - | - | failed with seed 1 |");
    expect(choosing).toContain("- Base: the defaults but for epochs 2.");
    expect(choosing).toContain("If none of these 2 variants changed anything, about 0.6 would be marked better");
  });

  it("says what is missing, and nothing of it when nothing is", () => {
    expect(text).toContain("**Not finished.** Yet to be trained: m3 (seed 1).");
    const done = resultOf(Object.fromEntries(partial.trainings.map(({ folder }) => [folder, measured(0.9, [0.7, 0.9])])));
    expect(studyMarkdown(done)).not.toContain("Not finished");
  });

  it("has each set's AUROC and rejections with training thresholds, measured variants only", () => {
    expect(choosing).toContain("| variant | set 0 (50) | set 1 (50) |");
    expect(choosing).toContain("| m1 | 0.8000 / 25.00 / 75.00 | 0.9000 / 25.00 / 75.00 |");
    expect(reported).toContain("| m1 | 0.5000 / 25.00 / 75.00 |");
    expect(reported).not.toContain("| m2 | 0.");
  });

  it("finds a set's numbers by its name, where the study's list has another order since", () => {
    const reversed = { ...partial, data: { ...partial.data, outliers: partial.data.outliers.toReversed() } };
    const markdown = studyMarkdown(reversed);
    expect(markdown).toContain("| variant | set 1 (50) | set 0 (50) |");
    expect(markdown).toContain("| m1 | 0.9000 / 25.00 / 75.00 | 0.8000 / 25.00 / 75.00 |");
  });

  it("reports test numbers with both thresholds, apart from what is chosen by", () => {
    expect(reported).toContain("| m1 | 94.00 | 5.00 | 99.00 | 1.00 | 99.00 |");
    expect(choosing).not.toContain("94.00");
  });

  it("lists every training, the reason of a failure in one cell", () => {
    expect(reported).toContain("| base | 1 | 1.5 | 1.500 | 87.50 | 1000 |  |");
    expect(reported).toContain("| m2 | 1 | - | - | - | - | failed: loss = NaN \\| at once |");
    expect(reported).toContain("| m3 | 1 | - | - | - | - | yet to be trained |");
    expect(reported).toContain("`sdim ablate x.yaml` with sdim 1.2.3, node v20");
  });

  it("is a set of tables whose rows have as many cells as their heads", () => {
    const tables = text.split("\n\n").filter((block) => block.startsWith("| "));
    expect(tables).toHaveLength(5);
    for (const block of tables) {
      const widths = block
        .trim()
        .split("\n")
        .map((line) => line.replaceAll("\\|", "").split("|").length);
      expect(new Set(widths).size).toBe(1);
    }
  });
});

describe("studyFigure", () => {
  it("draws every measured variant's two differences, in the colour of its mark, over the base's spread", () => {
    const svg = studyFigure(partial);
    expect(svg).toContain("2 of 3 variants measured");
    expect(svg).toContain("m1 4.00, m3 -11.00");
    expect(svg).toContain("m1 5.00, m3 0.00");
    expect(svg).toContain("grey: spread of the base&#39;s 2 seeds");
    expect(svg.match(/<circle[^>]*fill="#009e73"/g)).toHaveLength(3);
    expect(svg.match(/<circle[^>]*fill="#d55e00"/g)).toHaveLength(3);
    expect(svg).not.toContain("var(--");
  });

  it("draws what is far beyond the spread at the edge, with its number", () => {
    const collapsed = studyFigure(
      resultOf({
        "base-1": measured(0.9, [0.7]),
        "base-2": measured(0.91, [0.72]),
        "m1-1": measured(0.1, [0.7]),
        "m2-1": measured(0.95, [0.7]),
      }),
    );
    expect(collapsed).toContain(">-80.5</text>");
    expect(collapsed).not.toContain(">4.5</text>");
  });

  it("is drawn of a study that has just begun", async () => {
    for (const outcomes of [
      {},
      { "m1-1": measured(0.9, [0.5, 0.5]) },
      { "base-1": measured(0.9, [0.5, 0.5]), "m1-1": measured(0.9, [0.5, 0.5]) },
    ]) {
      const { width } = await sharp(Buffer.from(studyFigure(resultOf(outcomes)))).metadata();
      expect(width).toBeGreaterThan(500);
    }
  });
});

describe("writeStudy", () => {
  const folder = mkdtempSync(join(tmpdir(), "sdim-study-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("writes all four files", async () => {
    const out = join(folder, "results", "x");
    await writeStudy(partial, out);
    expect(JSON.parse(readFileSync(`${out}.json`, "utf8"))).toEqual(JSON.parse(JSON.stringify(partial)));
    expect(readFileSync(`${out}.md`, "utf8")).toBe(studyMarkdown(partial));
    expect(readFileSync(`${out}.svg`, "utf8")).toBe(studyFigure(partial));
    expect((await sharp(`${out}.png`).metadata()).format).toBe("png");
  });
});
