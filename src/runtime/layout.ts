import { conv2d, parameter } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import { evaluate, type Reference } from "../graph/reference.ts";
import { lower } from "../onnx/lower.ts";
import type { Target } from "../onnx/lowering/context.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { type Provider, Session, tensor } from "./session.ts";

let probed: Promise<number> | undefined;

/**
 * Channels per block of the CPU's blocked layout: 16 with AVX-512, 8 with AVX, 0 where there is none. Found by running one small
 * convolution in each and comparing it with the reference; asked once per process.
 */
export function blockedLayout(): Promise<number> {
  probed ??= probe();
  return probed;
}

async function probe(): Promise<number> {
  for (const block of [16, 8]) if (await agrees(block)) return block;
  return 0;
}

async function agrees(block: number): Promise<boolean> {
  const graph = new Graph();
  const x = parameter(graph, "x", [1, 32, 3, 3]);
  const y = conv2d(x, parameter(graph, "w", [32, 32, 3, 3]), { padding: 1 });
  const feeds = new Map<string, Reference>();
  for (const { name, type } of graph.parameters()) {
    const shape = type.shape as readonly number[];
    const count = shape.reduce((product, dim) => product * dim, 1);
    feeds.set(name, { shape, data: Float64Array.from({ length: count }, (_, i) => ((i * 7) % 13) - 6) });
  }
  const expected = evaluate([y], feeds)[0]!.data;
  try {
    const session = await Session.create(encodeModel(lower({ y }, { target: { provider: "cpu", block } })));
    const fed = Object.fromEntries([...feeds].map(([name, { shape, data }]) => [name, tensor("float32", Float32Array.from(data), shape)]));
    const results = await session.run(fed);
    await session.release();
    const got = results["y"]!.data as Float32Array;
    // The numbers are small integers, so the sums are exact in any order.
    return got.every((value, i) => value === expected[i]);
  } catch {
    // A runtime without the blocked layout refuses its operators: that is the answer, not a failure.
    return false;
  }
}

/** What graphs that run here, on `provider`, are lowered for. */
export async function targetFor(provider: Provider): Promise<Target> {
  return { provider, block: provider === "cpu" ? await blockedLayout() : 0 };
}
