/** An attribute's type in the file; "!" marks one that must be there. */
type AttributeType = "INT" | "FLOAT" | "STRING" | "TENSOR" | "INTS" | "FLOATS";
type AttributeRule = AttributeType | `${AttributeType}!`;
type Count = number | readonly [least: number, most: number];

export interface OpRule {
  readonly inputs: readonly [least: number, most: number];
  readonly outputs: readonly [least: number, most: number];
  readonly attributes: Readonly<Record<string, AttributeRule>>;
}

const range = (count: Count): readonly [number, number] => (typeof count === "number" ? [count, count] : count);

const op = (inputs: Count, attributes: OpRule["attributes"] = {}, outputs: Count = 1): OpRule => ({
  inputs: range(inputs),
  outputs: range(outputs),
  attributes,
});

const unary = op(1);
const binary = op(2);
const variadic = op([1, Number.POSITIVE_INFINITY]);
const reduction = op([1, 2], { keepdims: "INT", noop_with_empty_axes: "INT" });
const axisOnly = { axis: "INT" } as const;
const window = { auto_pad: "STRING", dilations: "INTS", pads: "INTS", strides: "INTS" } as const;
const convolution = { ...window, group: "INT", kernel_shape: "INTS" } as const;
const fusedConvolution = { ...convolution, activation: "STRING", activation_params: "FLOATS" } as const;
const pooling = { ...window, ceil_mode: "INT", kernel_shape: "INTS!" } as const;

/**
 * The operators that our writer may use, as opset 18 defines them; opsets 19 and 20 only add types and attributes to these.
 * (ONNX also has eight ways to write a Constant: ours is `value`.)
 */
const standard: Readonly<Record<string, OpRule>> = {
  Abs: unary,
  Add: binary,
  ArgMax: op(1, { axis: "INT", keepdims: "INT", select_last_index: "INT" }),
  BatchNormalization: op(5, { epsilon: "FLOAT", momentum: "FLOAT", training_mode: "INT" }, [1, 3]),
  Cast: op(1, { to: "INT!" }),
  Clip: op([1, 3]),
  Concat: op([1, Number.POSITIVE_INFINITY], { axis: "INT!" }),
  Constant: op(0, { value: "TENSOR!" }),
  Conv: op([2, 3], convolution),
  ConvTranspose: op([2, 3], { ...convolution, output_padding: "INTS", output_shape: "INTS" }),
  DequantizeLinear: op([2, 3], axisOnly),
  Div: binary,
  Equal: binary,
  Exp: unary,
  Expand: binary,
  Gather: op(2, axisOnly),
  Greater: binary,
  GreaterOrEqual: binary,
  HardSigmoid: op(1, { alpha: "FLOAT", beta: "FLOAT" }),
  Identity: unary,
  Log: unary,
  LogSoftmax: op(1, axisOnly),
  MatMul: binary,
  Max: variadic,
  MaxPool: op(1, { ...pooling, storage_order: "INT" }, [1, 2]),
  Min: variadic,
  Mul: binary,
  Neg: unary,
  OneHot: op(3, axisOnly),
  Pad: op([2, 4], { mode: "STRING" }),
  QuantizeLinear: op([2, 3], axisOnly),
  Range: op(3),
  Reciprocal: unary,
  ReduceMax: reduction,
  ReduceMean: reduction,
  ReduceSum: reduction,
  Relu: unary,
  Reshape: op(2, { allowzero: "INT" }),
  Shape: op(1, { start: "INT", end: "INT" }),
  Sigmoid: unary,
  Slice: op([3, 5]),
  Softplus: unary,
  Sqrt: unary,
  Sub: binary,
  Transpose: op(1, { perm: "INTS" }),
  Where: op(3),
};

/** ONNX Runtime's own operators on the CPU. */
const microsoft: Readonly<Record<string, OpRule>> = {
  FusedMatMul: op(2, { alpha: "FLOAT", transA: "INT", transB: "INT", transBatchA: "INT", transBatchB: "INT" }),
};

/** ONNX Runtime's operators on channel-blocked tensors [N, C/B, H, W, B]. */
const microsoftBlocked: Readonly<Record<string, OpRule>> = {
  Conv: op([2, 4], fusedConvolution),
  GlobalAveragePool: unary,
  MaxPool: op(1, { ...pooling, storage_order: "INT" }),
  ReorderInput: op(1, { channels_last: "INT" }),
  ReorderOutput: op(1, { channels: "INT", channels_last: "INT" }),
};

interface Domain {
  /** The versions of the operator set for which `ops` is true. */
  readonly versions: readonly [least: number, most: number];
  readonly ops: Readonly<Record<string, OpRule>>;
}

export const DOMAINS: Readonly<Record<string, Domain>> = {
  "": { versions: [18, 20], ops: standard },
  "com.microsoft": { versions: [1, 1], ops: microsoft },
  "com.microsoft.nchwc": { versions: [1, 1], ops: microsoftBlocked },
};
