import { describe, expect, it } from "vitest";
import { alignedColumns, markdownTable, namedRows, ruledTable } from "../../src/core/tables.ts";

describe("tables as text", () => {
  it("align columns under a rule", () => {
    expect(
      ruledTable([
        ["a", "long"],
        ["wide", "x"],
      ]),
    ).toEqual(["a     long", "----------", "wide  x"]);
  });
  it("have columns as wide as their widest cell, and nothing after the last", () => {
    expect(
      alignedColumns([
        ["a", "b", ""],
        ["long", "c", ""],
      ]),
    ).toEqual(["a     b", "long  c"]);
  });

  it("have names to the left and values to the right", () => {
    const rows = [
      { what: "percentile", values: ["1", "2"] },
      { what: "rejected", values: ["1.40%", "2.37%"] },
      { what: "in all", values: ["12"] },
      { what: "a title", values: [] },
    ];
    expect(namedRows(rows)).toEqual([
      "percentile      1      2",
      "------------------------",
      "rejected    1.40%  2.37%",
      "in all         12",
      "a title",
    ]);
  });

  it("are Markdown", () => {
    expect(markdownTable(["", "a"], [["x", "1"]])).toEqual(["|  | a |", "| --- | --- |", "| x | 1 |"]);
  });
});
