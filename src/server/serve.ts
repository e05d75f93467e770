import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyBaseLogger } from "fastify";
import { messageOf, UserError } from "../core/errors.ts";
import { exitNow } from "../core/exit.ts";
import type { NamedModel } from "./model-names.ts";
import { checkTime, longestTimerMs, type ServerOptions } from "./options.ts";
import { buildServer, type SdimServer } from "./server.ts";

export interface ServeOptions extends ServerOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** After SIGTERM, while /readyz says no and requests are still taken, so that a load balancer can see it. */
  readonly drainDelayMs: number;
  readonly onListening: (url: string) => void;
}

/** Connections that may wait to be accepted while the event loop is busy (the system's own limit may be lower); Node's 511 overflow under load. */
const backlog = 4096;

/** Milliseconds between two looks for connections that have become idle while draining. */
const idleLookMs = 50;

/** Beyond the time a request may take, for its answer to be read. */
const drainMarginMs = 5000;

/**
 * Serves until SIGTERM or SIGINT, then finishes what has been asked. A second signal ends the process with 130 as soon as no batch is in the middle.
 * Errors: UserError when a model cannot be loaded, the address cannot be listened on, or options are not as `checkLimits` has them.
 */
export async function serve(models: readonly NamedModel[], options: ServeOptions, logger: FastifyBaseLogger): Promise<void> {
  checkTime("--drain-delay-ms", options.drainDelayMs);
  const server = await buildServer(models, options, logger);
  try {
    await listen(server, options);
    if (options.apiKey === undefined && !isLoopback(options.host)) {
      logger.warn({ host: options.host }, "anyone who reaches this address may use the models: there is no API key");
    }
    const signal = await nextSignal();
    logger.info({ signal }, "draining");
    server.startDrain();
    if (signal === "SIGTERM") await pause(options.drainDelayMs);
  } catch (error) {
    await server.close();
    throw error;
  }
  await drain(server, options, logger);
}

async function listen({ app }: SdimServer, { host, port, onListening }: ServeOptions): Promise<void> {
  try {
    await app.listen({ host, port, backlog, listenTextResolver: () => "listening" });
  } catch (error) {
    throw new UserError(`cannot listen on ${host} port ${port}: ${messageOf(error)}`, { cause: error });
  }
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  onListening(`http://${family === "IPv6" ? `[${address}]` : address}:${actual}`);
}

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      for (const name of ["SIGTERM", "SIGINT"] as const) process.off(name, onSignal).on(name, () => void exitNow(130));
      resolve(signal);
    };
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  });
}

/** Errors: Error when requests have not ended in the time that they may take. */
async function drain(server: SdimServer, { limits }: ServeOptions, logger: FastifyBaseLogger): Promise<void> {
  const inTime = new AbortController();
  const drainMs = Math.min(limits.requestMs + drainMarginMs, longestTimerMs);
  const tooLate = pause(drainMs, "late" as const, { signal: inTime.signal }).catch(() => "done" as const);
  const closed = server.close();
  // Closing cuts the connections that are idle at that moment; one whose request is answered later would stay for its next one.
  const idle = setInterval(() => server.app.server.closeIdleConnections(), idleLookMs);
  const outcome = await Promise.race([closed.then(() => "done" as const), tooLate]);
  clearInterval(idle);
  inTime.abort();
  if (outcome === "done") return logger.info("drained");
  logger.error("requests did not end in time: connections are cut");
  server.app.server.closeAllConnections();
  await closed;
  throw new Error("draining took too long: requests were lost");
}
