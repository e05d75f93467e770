import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ModelCard } from "../classify/card.ts";

/** Verdicts that the share of rejections is taken over. */
const windowSize = 1000;

/** Of the last verdicts of a model. */
class Window {
  private readonly rejected = new Uint8Array(windowSize);
  private seen = 0;
  private rejections = 0;

  add(isRejected: boolean): void {
    const at = this.seen % windowSize;
    this.rejections += Number(isRejected) - this.rejected[at]!;
    this.rejected[at] = Number(isRejected);
    this.seen++;
  }

  get count(): number {
    return Math.min(this.seen, windowSize);
  }

  /** NaN before the first verdict: Prometheus's word for "nothing yet". */
  get share(): number {
    return this.rejections / this.count;
  }
}

/** What is read when it is asked for. */
export interface Readings {
  readonly queued: () => number;
  readonly pendingImages: () => number;
  readonly pendingBytes: () => number;
  readonly threadsUp: () => number;
  readonly threadsBusy: () => number;
}

/** Prometheus metrics; docs/serving.md says what each is good for. */
export class Metrics {
  readonly registry = new Registry();
  private readonly windows = new Map<string, Window>();
  private readonly own = { registers: [this.registry] };

  readonly requests = new Counter({
    name: "sdim_http_requests_total",
    help: "Answered requests by route and status.",
    labelNames: ["method", "route", "status"],
    ...this.own,
  });
  readonly duration = new Histogram({
    name: "sdim_http_request_duration_seconds",
    help: "From a request's arrival to the end of its answer, by route.",
    labelNames: ["method", "route"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    ...this.own,
  });
  private readonly stage = new Histogram({
    name: "sdim_stage_duration_seconds",
    help: "Of requests with images: decoding, longest wait in the queue, longest inference.",
    labelNames: ["model", "stage"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ...this.own,
  });
  readonly batchSize = new Histogram({
    name: "sdim_batch_size",
    help: "Images per batch.",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    ...this.own,
  });
  private readonly verdicts = new Counter({
    name: "sdim_verdicts_total",
    help: "Images by model, winning class and verdict (accepted, rejected).",
    labelNames: ["model", "class", "verdict"],
    ...this.own,
  });
  readonly reloads = new Counter({
    name: "sdim_model_reloads_total",
    help: "Changed model files by outcome: loaded, or refused (the old one serves on).",
    labelNames: ["model", "outcome"],
    ...this.own,
  });
  readonly threadDeaths = new Counter({
    name: "sdim_inference_thread_deaths_total",
    help: "Inference threads that died; each is replaced.",
    ...this.own,
  });
  private readonly expectedShare = new Gauge({
    name: "sdim_expected_rejection_share",
    help: "Share of images like the calibration's that the thresholds in force reject (the percentile / 100).",
    labelNames: ["model"],
    ...this.own,
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    const windows = this.windows;
    const gauge = (name: string, help: string, value: (window: Window) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ["model"],
        ...this.own,
        collect() {
          for (const [model, window] of windows) this.set({ model }, value(window));
        },
      });
    gauge("sdim_rejection_share", `Share of rejections among the last ${windowSize} images: the drift signal.`, ({ share }) => share);
    gauge("sdim_rejection_window_images", "Images the share of rejections is taken over.", ({ count }) => count);
  }

  addModel(model: string, { calibration }: ModelCard): void {
    // Another file, other thresholds: what the one before rejected says nothing of it.
    this.windows.set(model, new Window());
    this.expectedShare.set({ model }, calibration.percentile / 100);
    for (const outcome of ["loaded", "refused"]) this.reloads.inc({ model, outcome }, 0);
  }

  countVerdict(model: string, className: string, accepted: boolean): void {
    this.verdicts.inc({ model, class: className, verdict: accepted ? "accepted" : "rejected" });
    this.windows.get(model)?.add(!accepted);
  }

  observeStages(model: string, timing: { readonly decodeMs: number; readonly queueMs: number; readonly inferenceMs: number }): void {
    this.stage.observe({ model, stage: "decode" }, timing.decodeMs / 1000);
    this.stage.observe({ model, stage: "queue" }, timing.queueMs / 1000);
    this.stage.observe({ model, stage: "inference" }, timing.inferenceMs / 1000);
  }

  watch(readings: Readings): void {
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        ...this.own,
        collect() {
          this.set(read());
        },
      });
    gauge("sdim_queue_images", "Images that wait for their batch.", readings.queued);
    gauge("sdim_pending_images", "Images being decoded, waiting or being classified.", readings.pendingImages);
    gauge("sdim_pending_bytes", "Bodies and unpacked pixels of requests under way.", readings.pendingBytes);
    gauge("sdim_inference_threads", "Inference threads that are up.", readings.threadsUp);
    gauge("sdim_inference_threads_busy", "Inference threads that classify.", readings.threadsBusy);
  }
}
