import { resizeMatrix } from "../../core/resize.ts";
import type { Dim } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

// Resizing is linear and separable: y = R_h x R_w^T. As two products it is the same in every runtime and on every provider;
// ONNX's own Resize is not antialiased on WebGPU.

/** x [N, C, H, W] -> [N, C, height, width] */
export function resize(to: Lowering, x: string, [, , fromHeight, fromWidth]: readonly Dim[], height: number, width: number): string {
  const { emitter } = to;
  const rows = matrix(to, x, 2, fromHeight!, height);
  const columns = emitter.node("Transpose", [matrix(to, x, 3, fromWidth!, width)], { perm: ints([1, 0]) });
  return emitter.node("MatMul", [emitter.node("MatMul", [rows, x]), columns]);
}

/** R [to, from]: a constant where the size is fixed, else worked out in the graph by the formula of `resizeMatrix`. */
function matrix(to: Lowering, x: string, axis: number, from: Dim, size: number): string {
  const { emitter } = to;
  if (typeof from === "number") return emitter.constant("float32", [size, from], resizeMatrix(from, size));
  const scalar = (value: number) => emitter.constant("float32", [], [value]);
  const shape = emitter.node("Shape", [x]);
  const length = emitter.node("Cast", [emitter.node("Gather", [shape, emitter.constant("int64", [], [axis])], { axis: int(0) })], {
    to: int(1),
  });
  const scale = emitter.node("Div", [length, scalar(size)]);
  const positions = emitter.constant(
    "float32",
    [size, 1],
    Array.from({ length: size }, (_, i) => i + 0.5),
  );
  const centers = emitter.node("Sub", [emitter.node("Mul", [positions, scale]), scalar(0.5)]);
  const sources = emitter.node("Range", [scalar(0), length, scalar(1)]);
  const support = emitter.node("Max", [scale, scalar(1)]);
  const distance = emitter.node("Div", [emitter.node("Abs", [emitter.node("Sub", [sources, centers])]), support]);
  const weights = emitter.node("Relu", [emitter.node("Sub", [scalar(1), distance])]);
  return emitter.node("Div", [weights, emitter.node("ReduceSum", [weights, emitter.indices([1])], { keepdims: int(1) })]);
}
