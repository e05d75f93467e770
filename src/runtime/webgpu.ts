import { messageOf } from "../core/errors.ts";
import { add, parameter } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import { lower } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { Session, tensor } from "./session.ts";

/** Whether the `webgpu` provider runs here, or why not: asked by running one addition on it. */
export async function probeWebGpu(): Promise<{ readonly works: true } | { readonly works: false; readonly reason: string }> {
  const graph = new Graph();
  const x = parameter(graph, "x", [2]);
  const model = encodeModel(lower({ y: add(x, 1) }, { target: { provider: "webgpu", block: 0 } }));
  try {
    const session = await Session.create(model, { provider: "webgpu" });
    const { y } = await session.run({ x: tensor("float32", Float32Array.of(1, 2), [2]) });
    await session.release();
    const sums = y!.data as Float32Array;
    return sums[0] === 2 && sums[1] === 3 ? { works: true } : { works: false, reason: `1 + 1 and 2 + 1 gave ${sums.join(" and ")}` };
  } catch (error) {
    // ONNX Runtime puts source file, line and condition before what it has to say.
    return {
      works: false,
      reason: messageOf(error)
        .split("\n")[0]!
        .replace(/^.* was false\. /, ""),
    };
  }
}
