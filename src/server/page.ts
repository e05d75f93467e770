import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";

/** Of every answer: no guessing of types, no embedding elsewhere, and the isolation that threads of WebAssembly need. */
const headers = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** The page runs models itself (WebAssembly, in a worker) and shows pictures of the user's; nothing comes from elsewhere. */
const pagePolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "style-src 'self' 'unsafe-inline'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** dist/web, where the page is built; from the sources and from the built code alike. */
const builtPage = (): string => fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../../dist/web/" : "../web/", import.meta.url));

const apiText = `sdim: image classifiers that can say "I don't know"

GET  /v1/models                     the models
POST /v1/models/NAME/classify       curl -F image=@picture.png
GET  /v1/runs                       training runs, with --runs FOLDER
GET  /docs                          all endpoints
GET  /v2, /healthz, /readyz, /metrics
`;

export function addSecurityHeaders(app: FastifyInstance): void {
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers(headers);
  });
}

/** The web page at `/`, if it was built; else a few words about the API. */
export function addPage(app: FastifyInstance, folder = builtPage()): void {
  if (!existsSync(folder)) {
    app.get("/", { schema: { hide: true } }, (_request, reply) => reply.type("text/plain; charset=utf-8").send(apiText));
    return;
  }
  app.register(fastifyStatic, {
    root: folder,
    dotfiles: "ignore",
    // What vite builds has its hash in the name, but for the page itself.
    cacheControl: false,
    setHeaders: (reply, path) => {
      reply.header("content-security-policy", pagePolicy);
      reply.header("cache-control", /[/\\]assets[/\\]/.test(path) ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
}
