import { createReadStream, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

export interface SiteOptions {
  /** Whether pages are cross-origin isolated, as threads need. */
  readonly isolated?: boolean;
  /** The path the folder is served under. */
  readonly base?: string;
  /** Bodies served in place of files, by path. */
  readonly answers?: Readonly<Record<string, string>>;
}

/** Serves a folder as a static host does, and notes what was asked for in vain. */
export class StaticSite {
  readonly missing: string[] = [];
  private readonly server: Server;
  private readonly base: string;

  constructor(folder: string, { isolated = true, base = "/", answers = {} }: SiteOptions = {}) {
    this.base = base;
    this.server = createServer((request, response) => {
      const path = decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname);
      if (isolated) {
        response.setHeader("cross-origin-opener-policy", "same-origin");
        response.setHeader("cross-origin-embedder-policy", "require-corp");
      }
      const answer = answers[path];
      if (answer !== undefined) return void response.writeHead(200, { "content-type": "application/json" }).end(answer);
      const inside = normalize(path.startsWith(base) ? path.slice(base.length) : "..");
      const file = join(folder, inside.endsWith("/") || inside === "." ? `${inside}/index.html` : inside);
      const found = inside.startsWith("..") ? undefined : statSync(file, { throwIfNoEntry: false });
      if (!found?.isFile()) {
        this.missing.push(path);
        return void response.writeHead(404).end();
      }
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "content-length": found.size });
      createReadStream(file).pipe(response);
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${this.base}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
