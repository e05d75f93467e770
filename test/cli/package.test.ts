import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

interface Package {
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
}

const dockerfile = readFileSync("Dockerfile", "utf8").replaceAll("\\\n", " ");
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(" "));

describe("the Dockerfile", () => {
  it("copies what is there, and what .dockerignore lets through", () => {
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

  it("runs as a user, on the Node that package.json asks for, and looks whether it is well", () => {
    const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as Package;
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toContain(`ENTRYPOINT ["node", "${bin["sdim"]}"]`);
    expect(dockerfile.match(/^FROM .*$/gm)).toEqual(["FROM node:20-slim AS build", "FROM node:20-slim"]);
    const [, check] = /HEALTHCHECK .*?CMD (\[.*\])/.exec(dockerfile)!;
    expect((JSON.parse(check!) as string[])[2]).toContain("http://127.0.0.1:8080/healthz");
  });
});

it("the package holds what it needs to run", () => {
  const { files } = JSON.parse(readFileSync("package.json", "utf8")) as Package;
  // npm run check:package packs it, installs it into an empty folder and asks it for a verdict.
  expect(files).toEqual(expect.arrayContaining(["bin", "dist", "models"]));
});
