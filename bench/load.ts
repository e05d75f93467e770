import { Agent, request } from "node:http";

/** What became of one request: its status, or 0 where there was no whole answer. */
export interface Outcome {
  readonly status: number;
  readonly milliseconds: number;
  /** Why there was no answer: an error's code. */
  readonly problem?: string;
}

/** Posts one body again and again. */
export class Client {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly url: string;
  private readonly body: Buffer;

  constructor(url: string, body: Buffer) {
    this.url = url;
    this.body = body;
  }

  post(): Promise<Outcome> {
    const start = performance.now();
    return new Promise((resolve) => {
      const end = (status: number) => resolve({ status, milliseconds: performance.now() - start });
      const fail = ({ code, message }: NodeJS.ErrnoException) =>
        resolve({ status: 0, milliseconds: performance.now() - start, problem: code ?? message });
      const headers = { "content-type": "image/png", "content-length": this.body.length };
      request(this.url, { method: "POST", agent: this.agent, headers }, (response) => {
        response.on("end", () => end(response.complete ? response.statusCode! : 0)).on("error", fail);
        response.resume();
      })
        .on("error", fail)
        .end(this.body);
    });
  }

  /** `concurrency` requests at any time: the next is sent when one is answered. */
  async keepBusy(concurrency: number, seconds: number): Promise<readonly Outcome[]> {
    const end = performance.now() + seconds * 1000;
    const outcomes: Outcome[] = [];
    const one = async () => {
      while (performance.now() < end) outcomes.push(await this.post());
    };
    await Promise.all(Array.from({ length: concurrency }, one));
    return outcomes;
  }

  /** `rate` requests per second, whether or not the earlier ones have been answered; all that were sent. */
  async sendAt(rate: number, seconds: number, onOutcome: (outcome: Outcome) => void): Promise<number> {
    const start = performance.now();
    const answers = new Set<Promise<void>>();
    let sent = 0;
    for (let elapsed = 0; elapsed < seconds; elapsed = (performance.now() - start) / 1000) {
      for (; sent < elapsed * rate; sent++) {
        const answer: Promise<void> = this.post().then((outcome) => {
          onOutcome(outcome);
          answers.delete(answer);
        });
        answers.add(answer);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await Promise.all(answers);
    return sent;
  }

  close(): void {
    this.agent.destroy();
  }
}

/** The value that a fraction `q` of the sorted values is below. */
export const quantile = (values: readonly number[], q: number): number | undefined =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

/** Of the answers with a verdict. */
export function latencies(outcomes: readonly Outcome[]): Record<"p50Ms" | "p95Ms" | "p99Ms", number | undefined> {
  const times = outcomes.filter(({ status }) => status === 200).map(({ milliseconds }) => milliseconds);
  return { p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95), p99Ms: quantile(times, 0.99) };
}
