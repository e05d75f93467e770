import pino from "pino";
import type { NamedModel } from "../../src/server/model-names.ts";
import { defaultLimits, defaultOptions, type Limits, type ServerOptions } from "../../src/server/options.ts";
import { buildServer, type SdimServer } from "../../src/server/server.ts";

/** Lines of the log, as objects. */
export type LogLines = Record<string, unknown>[];

export interface TestedServer extends SdimServer {
  readonly log: LogLines;
  readonly metric: (line: string) => Promise<number | undefined>;
  /** Listens on a free port; its address. */
  readonly listen: () => Promise<string>;
}

export const mnist: NamedModel = { name: "mnist", path: "models/mnist/model.onnx" };
export const garments: NamedModel = { name: "garments", path: "models/fashion-mnist/model.onnx" };

type Overrides = Partial<Omit<ServerOptions, "limits">> & { readonly limits?: Partial<Limits> };

export async function startServer(
  { limits, ...overrides }: Overrides = {},
  models: readonly NamedModel[] = [mnist],
): Promise<TestedServer> {
  const log: LogLines = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => log.push(JSON.parse(line) as Record<string, unknown>) });
  const options = { ...defaultOptions, workers: 1, reloadMs: 0, ...overrides, limits: { ...defaultLimits, ...limits } };
  const server = await buildServer(models, options, logger);
  return {
    ...server,
    log,
    metric: async (name) => {
      const { payload } = await server.app.inject({ url: "/metrics", headers: options.apiKey ? { "x-api-key": options.apiKey } : {} });
      const line = payload.split("\n").find((one) => one.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    },
    listen: () => server.app.listen({ host: "127.0.0.1", port: 0 }),
  };
}

/** multipart/form-data of files. */
export function form(files: readonly (readonly [name: string, bytes: Uint8Array])[]): {
  readonly payload: Buffer;
  readonly headers: { readonly "content-type": string };
} {
  const boundary = "----boundary";
  const parts = files.flatMap(([name, bytes]) => [
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="image"; filename="${name}"\r\nContent-Type: image/png\r\n\r\n`),
    Buffer.from(bytes),
    Buffer.from("\r\n"),
  ]);
  return {
    payload: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  };
}
