import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/folders.ts";

interface Package {
  readonly files: readonly string[];
  readonly bin: Readonly<Record<string, string>>;
}

const dockerfile = readFileSync("Dockerfile", "utf8").replaceAll("\\\n", " ");
const [buildStage, imageStage] = dockerfile.split(/^FROM node:20-slim$/m) as [string, string];

/** What a stage copies from the repository, each as [from, to]. */
const copies = (stage: string): (readonly [string, string])[] =>
  [...stage.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)].flatMap(([, sources, to]) =>
    sources!.split(" ").map((from) => [from, to === "./" ? from : to!] as const),
  );

const sourcesOf = (stage: string): string[] => copies(stage).map(([from]) => from);

describe("the Dockerfile", () => {
  it("copies what is there, and what .dockerignore lets through", () => {
    const copied = [...sourcesOf(buildStage), ...sourcesOf(imageStage)];
    const allowed = readFileSync(".dockerignore", "utf8").split("\n");
    expect(allowed[0]).toBe("*");
    expect(copied.length).toBeGreaterThan(6);
    for (const path of copied) {
      expect(existsSync(path), path).toBe(true);
      expect(allowed, path).toContain(`!${path}`);
    }
    // And nothing is let through that is not used.
    expect(allowed.slice(1).filter((line) => line !== "" && !copied.includes(line.slice(1)))).toEqual([]);
  });

  it("builds of what it copies, and its program runs in any folder", () => {
    const [stage, image] = [temporaryFolder(), temporaryFolder()];
    const copy = (stageText: string, folder: string) => {
      for (const [from, to] of copies(stageText)) {
        mkdirSync(dirname(join(folder, to)), { recursive: true });
        cpSync(from, join(folder, to), { recursive: true });
      }
    };
    copy(buildStage, stage);
    symlinkSync(resolve("node_modules"), join(stage, "node_modules"));
    // npm ci and npm prune need the registry; here the packages are those of this folder.
    const [, build] = /^RUN (npm run build && .*) && npm prune .*$/m.exec(buildStage)!;
    execFileSync("sh", ["-c", build!], { cwd: stage, stdio: "pipe" });
    expect(readdirSync(join(stage, "dist/web"))).toContain("index.html");
    expect(readdirSync(join(stage, "dist/web/models"), { recursive: true }).filter((name) => String(name).endsWith(".onnx"))).toEqual([]);

    copy(imageStage, image);
    for (const [, from, to] of imageStage.matchAll(/^COPY --from=build \/app\/(\S+) (\S+)$/gm)) {
      symlinkSync(join(stage, from!), join(image, to!));
    }
    const [, entrypoint] = /^ENTRYPOINT (\[.*\])$/m.exec(imageStage)!;
    const [program, ...args] = (JSON.parse(entrypoint!) as string[]).map((word) => word.replace("/app", image));
    const said = execFileSync(program!, [...args, "predict", `${image}/models/mnist/model.onnx`, "digit.png"], {
      cwd: resolve("samples/images"),
      encoding: "utf8",
    });
    expect(said).toContain("7  accepted");
  });

  it("runs as a user, on the Node that package.json asks for, and looks whether it is well", () => {
    const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as Package;
    expect(imageStage).toMatch(/^USER node$/m);
    expect(imageStage).toContain(`ENTRYPOINT ["node", "/app/${bin["sdim"]}"]`);
    expect(dockerfile.match(/^FROM .*$/gm)).toEqual(["FROM node:20-slim AS build", "FROM node:20-slim"]);
    const [, check] = /HEALTHCHECK .*?CMD (\[.*\])/.exec(imageStage)!;
    expect((JSON.parse(check!) as string[])[2]).toContain("http://127.0.0.1:8080/healthz");
  });
});

it("the package holds what it needs to run", () => {
  const { files } = JSON.parse(readFileSync("package.json", "utf8")) as Package;
  // npm run check:package packs it, installs it into an empty folder and asks it for a verdict.
  expect(files).toEqual(expect.arrayContaining(["bin", "dist", "models"]));
});
