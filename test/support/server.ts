import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A local HTTP server that notes what it was asked for: `GET /path` or `GET /path bytes=10-`. */
export class TestServer {
  readonly requests: string[] = [];
  answer: Answer = (_request, response) => response.writeHead(404).end();
  private readonly server: Server = createServer((request, response) => {
    const { range } = request.headers;
    this.requests.push(`${request.method} ${request.url}${range === undefined ? "" : ` ${range}`}`);
    this.answer(request, response);
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Answers as file servers do, with Range. */
export function sendFile(request: IncomingMessage, response: ServerResponse, content: Uint8Array): void {
  const begin = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  if (begin === undefined) return void response.writeHead(200, { "content-length": content.length }).end(content);
  const start = Number(begin);
  if (start >= content.length) return void response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
  const rest = content.subarray(start);
  response.writeHead(206, {
    "content-length": rest.length,
    "content-range": `bytes ${start}-${content.length - 1}/${content.length}`,
  });
  response.end(rest);
}

/** Announces all of the content, sends the first `count` bytes and breaks the connection. */
export function breakAfter(response: ServerResponse, content: Uint8Array, count: number): void {
  response.writeHead(200, { "content-length": content.length });
  response.write(content.subarray(0, count), () => setTimeout(() => response.destroy(), 20));
}
