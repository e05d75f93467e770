import type { ModelFile } from "../classify/model-file.ts";
import { int } from "../onnx/emitter.ts";
import { type NodeProto, TensorProto_DataType } from "../onnx/generated/onnx_pb.ts";
import { halves } from "../onnx/half.ts";
import { asModelFile, encoderNodes, Rewriter, writtenAnew } from "./rewrite.ts";

/**
 * A model file whose encoder works in half precision, for GPUs: weights and activations are float16 from the first convolution to the
 * representation. Resizing, channel statistics, class log-likelihoods and the decision stay in float32. Standard operators.
 * Errors: UserError when a weight is beyond a half's range, or the file is an export itself.
 */
export function inHalfPrecision(file: ModelFile): ModelFile {
  const proto = writtenAnew(file);
  const to = new Rewriter(proto, "half");
  const nodes = withWeightNodes(to.graph.node, encoderNodes(to.graph), to);
  const made = new Set([...nodes].flatMap((node) => node.output));
  const known = new Map<string, string>();
  const half = (name: string): string => {
    if (made.has(name)) return name === "representation" ? halfRepresentation : name;
    const floats = to.floats(name);
    // Axes and shapes.
    if (to.isInitializer(name) && !floats) return name;
    const before = known.get(name);
    if (before) return before;
    const made16 = floats
      ? to.initializer(`${name}.half`, "float16", floats.dims, halves(name, floats.data))
      : to.emitter.node("Cast", [name], { to: int(TensorProto_DataType.FLOAT16) });
    known.set(name, made16);
    return made16;
  };
  const widened = new Map<string, string>();
  /** A half's value for nodes after the encoder: channel statistics are of its feature maps. */
  const float = (name: string): string => {
    if (!made.has(name) || name === "representation") return name;
    const known = widened.get(name) ?? to.emitter.node("Cast", [name], { to: int(TensorProto_DataType.FLOAT) });
    widened.set(name, known);
    return known;
  };
  for (const node of to.graph.node) {
    if (nodes.has(node)) {
      node.input = node.input.map(half);
      node.output = node.output.map((name) => (name === "representation" ? halfRepresentation : name));
    } else {
      node.input = node.input.map(float);
    }
    to.keep(node);
    if (node.output.includes(halfRepresentation))
      to.named("representation", "Cast", [halfRepresentation], { to: int(TensorProto_DataType.FLOAT) });
  }
  return asModelFile(to.finish(proto), file.card);
}

const halfRepresentation = "half/representation";

/** With the nodes that make something of weights alone, for these nodes alone (a transposed matrix): they can work on halves too. */
function withWeightNodes(all: readonly NodeProto[], chosen: ReadonlySet<NodeProto>, to: Rewriter): Set<NodeProto> {
  const nodes = new Set(chosen);
  for (const node of [...all].reverse()) {
    const users = all.filter((other) => other.input.some((name) => node.output.includes(name)));
    if (node.input.every((name) => to.isInitializer(name)) && users.length > 0 && users.every((user) => nodes.has(user))) nodes.add(node);
  }
  return nodes;
}
