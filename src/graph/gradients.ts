import { InternalError } from "../core/errors.ts";
import { resizeMatrix } from "../core/resize.ts";
import {
  add,
  cast,
  channelAffine,
  channelDot,
  channelSum,
  constant,
  div,
  equal,
  exp,
  expand,
  matmul,
  mul,
  neg,
  oneHot,
  pad,
  perChannelCount,
  reciprocal,
  reshape,
  reverse,
  scalar,
  sigmoid,
  slice,
  sqrt,
  step,
  sub,
  sum,
  transpose,
  where,
} from "./build.ts";
import { reachable, type Value } from "./graph.ts";
import type { BinaryFn, OpKind, OpOf, UnaryFn } from "./ops.ts";
import { type Shape, sameShape, showShape, staticDim, staticShape } from "./types.ts";

/** What a rule gets: the op, the node itself (y) and the gradient of the loss by it (dy). */
interface Context<K extends OpKind> {
  readonly op: OpOf<K>;
  readonly inputs: readonly Value[];
  readonly y: Value;
  readonly dy: Value;
}

/** Per input: how to build its gradient (built only where wanted), or null where none flows. */
type Contributions = readonly ((() => Value) | null)[];

/** "none": the op is not differentiable, or a leaf. */
type GradientRule<K extends OpKind> = "none" | ((context: Context<K>) => Contributions);

/** dy * f'(x), with y = f(x) at hand. */
const unaryDerivatives: Record<UnaryFn, ((x: Value, y: Value, dy: Value) => Value) | null> = {
  neg: (_x, _y, dy) => neg(dy),
  exp: (_x, y, dy) => mul(dy, y),
  log: (x, _y, dy) => div(dy, x),
  sqrt: (_x, y, dy) => div(mul(dy, 0.5), y),
  reciprocal: (_x, y, dy) => neg(mul(dy, mul(y, y))),
  relu: (_x, y, dy) => dy.graph.node({ kind: "reluGradient" }, [dy, y]),
  sigmoid: (_x, y, dy) => mul(dy, mul(y, sub(1, y))),
  softplus: (x, _y, dy) => mul(dy, sigmoid(x)),
  step: null,
};

/** Sums a gradient over the axes along which its operand was broadcast. */
function unbroadcast(dy: Value, shape: Shape): Value {
  if (sameShape(dy.type.shape, shape)) return dy;
  const extra = dy.type.shape.length - shape.length;
  const axes = dy.type.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  return reshape(sum(dy, axes, true), shape);
}

/** d/da and d/db of a binary op, before the sums over broadcast axes. Where two are equal, maximum and minimum follow b. */
const binaryDerivatives: Record<BinaryFn, (a: Value, b: Value, y: Value, dy: Value) => [() => Value, () => Value]> = {
  add: (_a, _b, _y, dy) => [() => dy, () => dy],
  sub: (_a, _b, _y, dy) => [() => dy, () => neg(dy)],
  mul: (a, b, _y, dy) => [() => mul(dy, b), () => mul(dy, a)],
  div: (_a, b, y, dy) => [() => div(dy, b), () => neg(div(mul(dy, y), b))],
  maximum: (a, b, _y, dy) => [() => mul(dy, step(sub(a, b))), () => mul(dy, sub(1, step(sub(a, b))))],
  minimum: (a, b, _y, dy) => [() => mul(dy, step(sub(b, a))), () => mul(dy, sub(1, step(sub(b, a))))],
};

const zeros = (like: Value): Value => expand(scalar(like.graph, 0), like.type.shape);

const gradientRules: { [K in OpKind]: GradientRule<K> } = {
  input: "none",
  parameter: "none",
  constant: "none",
  compare: "none",
  argMax: "none",
  oneHot: "none",
  stopGradient: "none",
  unary: ({ op, inputs: [x], y, dy }) => {
    const derivative = unaryDerivatives[op.fn];
    return [derivative && (() => derivative(x!, y, dy))];
  },
  binary: ({ op, inputs: [a, b], y, dy }) => {
    const [da, db] = binaryDerivatives[op.fn](a!, b!, y, dy);
    return [() => unbroadcast(da(), a!.type.shape), () => unbroadcast(db(), b!.type.shape)];
  },
  cast: ({ inputs: [x], dy }) => [x!.type.dtype === "float32" ? () => dy : null],
  where: ({ inputs: [condition, a, b], dy }) => [
    null,
    () => unbroadcast(where(condition!, dy, zeros(dy)), a!.type.shape),
    () => unbroadcast(where(condition!, zeros(dy), dy), b!.type.shape),
  ],
  reshape: ({ inputs: [x], dy }) => [() => reshape(dy, x!.type.shape)],
  transpose: ({ op, dy }) => [
    () =>
      transpose(
        dy,
        op.permutation.map((_, i) => op.permutation.indexOf(i)),
      ),
  ],
  expand: ({ inputs: [x], dy }) => [() => unbroadcast(dy, x!.type.shape)],
  pad: ({ op, dy }) => [
    () =>
      slice(
        dy,
        Object.fromEntries(
          dy.type.shape.flatMap((dim, i) =>
            op.low[i]! + op.high[i]! + op.interior[i]! === 0
              ? []
              : [[i, [op.low[i]!, staticDim(dim, "pad") - op.high[i]!, op.interior[i]! + 1] as const]],
          ),
        ),
      ),
  ],
  slice: ({ op, inputs: [x], dy }) => [
    () =>
      pad(
        dy,
        Object.fromEntries(
          x!.type.shape.flatMap((dim, i) => {
            if (typeof dim === "string") return [];
            const [start, step] = [op.start[i]!, op.step[i]!];
            const last = start + (staticDim(dy.type.shape[i], "slice") - 1) * step;
            return [[i, [start, dim - 1 - last, step - 1] as const]];
          }),
        ),
      ),
  ],
  concat: ({ op, inputs, dy }) => {
    let offset = 0;
    return inputs.map((x) => {
      const start = offset;
      offset += staticDim(x.type.shape[op.axis], "concat");
      const stop = offset;
      return () => slice(dy, { [op.axis]: [start, stop] });
    });
  },
  reverse: ({ op, dy }) => [() => reverse(dy, op.axis)],
  reduce: ({ op, inputs: [x], y, dy }) => [
    () => {
      const kept = x!.type.shape.map((dim, i) => (op.axes.includes(i) ? 1 : dim));
      const spread = (value: Value) => expand(reshape(value, kept), x!.type.shape);
      if (op.fn === "sum") return spread(dy);
      if (op.fn === "mean") {
        const count = op.axes.reduce((product, axis) => product * staticDim(x!.type.shape[axis], "mean"), 1);
        return spread(mul(dy, 1 / count));
      }
      // The largest elements share the gradient equally.
      const winners = cast(equal(x!, spread(y)), "float32");
      return mul(winners, spread(div(dy, reshape(sum(winners, op.axes), dy.type.shape))));
    },
  ],
  // d table = one-hot(indices)^T dy
  gather: ({ inputs: [table, indices], dy }) => [
    () => {
      const shape = staticShape(table!.type.shape, "gather");
      const count = staticShape(indices!.type.shape, "gather").reduce((a, b) => a * b, 1);
      const width = shape.slice(1).reduce((a, b) => a * b, 1);
      const rows = reshape(oneHot(indices!, shape[0]!), [count, shape[0]!]);
      return reshape(matmul(rows, reshape(dy, [count, width]), { transposeA: true }), shape);
    },
    null,
  ],
  // Y = op(A) op(B):  dA = dY op(B)^T or, where A is taken transposed, op(B) dY^T;  dB likewise.
  matmul: ({ op, inputs: [a, b], dy }) => [
    () =>
      unbroadcast(
        op.transposeA ? matmul(b!, dy, { transposeA: op.transposeB, transposeB: true }) : matmul(dy, b!, { transposeB: !op.transposeB }),
        a!.type.shape,
      ),
    () =>
      unbroadcast(
        op.transposeB ? matmul(dy, a!, { transposeA: true, transposeB: op.transposeA }) : matmul(a!, dy, { transposeA: !op.transposeA }),
        b!.type.shape,
      ),
  ],
  // dx = dy - softmax(x) sum(dy)
  logSoftmax: ({ y, dy }) => [() => sub(dy, mul(exp(y), sum(dy, [-1], true)))],
  conv2d: ({ op, inputs: [x, weight], dy }) => {
    const [, , height, width] = x!.type.shape;
    const { stride, padding } = op;
    const size = staticDim(weight!.type.shape[2], "conv2d");
    const square = weight!.type.shape[3] === size;
    if (!square) throw new InternalError(`conv2d: only square kernels have a gradient, got ${showShape(weight!.type.shape)}`);
    const inputGradient = {
      kind: "conv2dInputGradient",
      stride,
      padding,
      height: staticDim(height, "conv2d"),
      width: staticDim(width, "conv2d"),
    } as const;
    return [
      () => dy.graph.node(inputGradient, [dy, weight!]),
      () => dy.graph.node({ kind: "conv2dWeightGradient", stride, padding, size }, [x!, dy]),
      () => channelSum(dy),
    ];
  },
  // Both are linear maps built of the same three: the adjoint of each is another of them.
  conv2dInputGradient: ({ op, inputs: [dOut, weight], dy }) => [
    () => dy.graph.node({ kind: "conv2d", stride: op.stride, padding: op.padding }, [dy, weight!]),
    () =>
      dy.graph.node(
        { kind: "conv2dWeightGradient", stride: op.stride, padding: op.padding, size: staticDim(weight!.type.shape[2], "conv2d") },
        [dy, dOut!],
      ),
  ],
  conv2dWeightGradient: ({ op, inputs: [x, dOut], dy }) => [
    () => {
      const [height, width] = [staticDim(x!.type.shape[2], "conv2d"), staticDim(x!.type.shape[3], "conv2d")];
      return dy.graph.node({ kind: "conv2dInputGradient", stride: op.stride, padding: op.padding, height, width }, [dOut!, dy]);
    },
    () => dy.graph.node({ kind: "conv2d", stride: op.stride, padding: op.padding }, [x!, dy]),
  ],
  channelSum: ({ inputs: [x], dy }) => [() => expand(reshape(dy, alongChannels(x!)), x!.type.shape)],
  channelDot: ({ inputs: [a, b], dy }) => [() => channelAffine(b!, dy, zeros(dy)), () => channelAffine(a!, dy, zeros(dy))],
  channelAffine: ({ inputs: [x, scale], dy }) => [
    () => channelAffine(dy, scale!, zeros(scale!)),
    () => channelDot(dy, x!),
    () => channelSum(dy),
  ],
  // With m elements per channel, r = 1 / sqrt(variance + epsilon) and x^ = (x - mean) r:
  //   d beta = sum dy      d gamma = sum dy x^ = r (sum dy x - mean sum dy)
  //   dx = gamma r (dy - d beta / m - x^ d gamma / m) = A dy + B x + C
  //   A = gamma r          B = -A r d gamma / m          C = -A d beta / m - B mean
  batchNormTraining: ({ op, inputs: [x, gamma, , center, variance], dy }) => {
    const r = reciprocal(sqrt(add(variance!, op.epsilon)));
    const dBeta = channelSum(dy);
    const dGamma = () => mul(r, sub(channelDot(dy, x!), mul(center!, dBeta)));
    return [
      () => {
        const perElement = 1 / perChannelCount(x!);
        const a = mul(gamma!, r);
        const b = neg(mul(mul(a, r), mul(dGamma(), perElement)));
        const c = neg(add(mul(a, mul(dBeta, perElement)), mul(b, center!)));
        return add(channelAffine(dy, a, zeros(a)), channelAffine(x!, b, c));
      },
      dGamma,
      () => dBeta,
      null,
      null,
    ];
  },
  batchNormInference: ({ op, inputs: [x, gamma, , center, variance], dy }) => {
    const r = reciprocal(sqrt(add(variance!, op.epsilon)));
    const dGamma = () => mul(r, sub(channelDot(dy, x!), mul(center!, channelSum(dy))));
    const dMean = () => neg(mul(mul(gamma!, r), channelSum(dy)));
    return [
      () => channelAffine(dy, mul(gamma!, r), zeros(r)),
      dGamma,
      () => channelSum(dy),
      dMean,
      () => mul(mul(dGamma(), gamma!), mul(mul(r, r), -0.5)),
    ];
  },
  reluGradient: ({ inputs: [, y], dy }) => [() => dy.graph.node({ kind: "reluGradient" }, [dy, y!]), null],
  // Resizing is linear and separable, y = R_h x R_w^T: dx = R_h^T dy R_w.
  resizeBilinear: ({ op, inputs: [x], dy }) => [
    () => {
      const [height, width] = [staticDim(x!.type.shape[2], "resize"), staticDim(x!.type.shape[3], "resize")];
      const rows = constant(dy.graph, resizeMatrix(height, op.height), [op.height, height]);
      const columns = constant(dy.graph, resizeMatrix(width, op.width), [op.width, width]);
      return matmul(rows, matmul(dy, columns), { transposeA: true });
    },
  ],
};

const alongChannels = (x: Value): Shape => x.type.shape.map((dim, i) => (i === 1 ? dim : 1));

function contributions<K extends OpKind>(op: OpOf<K>, y: Value, dy: Value): Contributions {
  const rule: GradientRule<K> = gradientRules[op.kind as K];
  return rule === "none" ? y.inputs.map(() => null) : rule({ op, inputs: y.inputs, y, dy });
}

/**
 * Reverse-mode differentiation: the gradients of a scalar `loss` by each of `wrt`, as new nodes of the same graph.
 * A value that the loss does not depend on gets zeros. Errors: InternalError when the loss is not a scalar float.
 */
export function gradients(loss: Value, wrt: readonly Value[]): Value[] {
  if (loss.type.dtype !== "float32" || loss.type.shape.length !== 0) {
    throw new InternalError(`gradients: expected a scalar float32 loss, got ${loss.name} ${showShape(loss.type.shape)}`);
  }
  const order = reachable([loss]);
  const wanted = new Set<Value>(wrt);
  for (const value of order) {
    if (value.inputs.some((x) => wanted.has(x))) wanted.add(value);
  }
  const found = new Map<Value, Value>([[loss, scalar(loss.graph, 1)]]);
  for (const y of order.reverse()) {
    const dy = found.get(y);
    if (!dy || !wanted.has(y)) continue;
    loss.graph.scope(`gradient/${y.name.split("/")[0]}`, () => {
      contributions(y.op, y, dy).forEach((build, i) => {
        const x = y.inputs[i]!;
        if (!build || !wanted.has(x)) return;
        const term = build();
        const earlier = found.get(x);
        found.set(x, earlier ? add(earlier, term) : term);
      });
    });
  }
  return wrt.map((x) => found.get(x) ?? zeros(x));
}
