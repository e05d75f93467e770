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
// AveragePool's dilations came with opset 19.
const { dilations: _, ...poolingWithoutDilations } = pooling;

/**
 * The operators that our writer may use, as opset 18 defines them; opsets 19 and 20 only add types and attributes to these.
 * (ONNX also has eight ways to write a Constant: ours is `value`.)
 */
const standard: Readonly<Record<string, OpRule>> = {
  Abs: unary,
  Add: binary,
  And: binary,
  ArgMax: op(1, { axis: "INT", keepdims: "INT", select_last_index: "INT" }),
  AveragePool: op(1, { ...poolingWithoutDilations, count_include_pad: "INT" }),
  BatchNormalization: op(5, { epsilon: "FLOAT", momentum: "FLOAT", training_mode: "INT" }, [1, 3]),
  Cast: op(1, { to: "INT!" }),
  Clip: op([1, 3]),
  Concat: op([1, Number.POSITIVE_INFINITY], { axis: "INT!" }),
  Constant: op(0, { value: "TENSOR!" }),
  ConstantOfShape: op(1, { value: "TENSOR" }),
  Conv: op([2, 3], convolution),
  ConvTranspose: op([2, 3], { ...convolution, output_padding: "INTS", output_shape: "INTS" }),
  DepthToSpace: op(1, { blocksize: "INT!", mode: "STRING" }),
  DequantizeLinear: op([2, 3], axisOnly),
  Div: binary,
  Equal: binary,
  Erf: unary,
  Exp: unary,
  Expand: binary,
  Floor: unary,
  Gather: op(2, axisOnly),
  GatherElements: op(2, axisOnly),
  Gemm: op([2, 3], { alpha: "FLOAT", beta: "FLOAT", transA: "INT", transB: "INT" }),
  GlobalAveragePool: unary,
  Greater: binary,
  GreaterOrEqual: binary,
  HardSigmoid: op(1, { alpha: "FLOAT", beta: "FLOAT" }),
  Identity: unary,
  LayerNormalization: op([2, 3], { axis: "INT", epsilon: "FLOAT", stash_type: "INT" }, [1, 3]),
  Less: binary,
  LessOrEqual: binary,
  Log: unary,
  LogSoftmax: op(1, axisOnly),
  MatMul: binary,
  Max: variadic,
  MaxPool: op(1, { ...pooling, storage_order: "INT" }, [1, 2]),
  Min: variadic,
  Mul: binary,
  Neg: unary,
  Not: unary,
  OneHot: op(3, axisOnly),
  Pad: op([2, 4], { mode: "STRING" }),
  Pow: binary,
  QuantizeLinear: op([2, 3], axisOnly),
  Range: op(3),
  Reciprocal: unary,
  ReduceMax: reduction,
  ReduceMean: reduction,
  ReduceSum: reduction,
  ReduceSumSquare: reduction,
  Relu: unary,
  Reshape: op(2, { allowzero: "INT" }),
  Resize: op([1, 4], {
    antialias: "INT",
    axes: "INTS",
    coordinate_transformation_mode: "STRING",
    cubic_coeff_a: "FLOAT",
    exclude_outside: "INT",
    extrapolation_value: "FLOAT",
    keep_aspect_ratio_policy: "STRING",
    mode: "STRING",
    nearest_mode: "STRING",
  }),
  Shape: op(1, { start: "INT", end: "INT" }),
  Sigmoid: unary,
  Sign: unary,
  Size: unary,
  Slice: op([3, 5]),
  Softmax: op(1, axisOnly),
  Softplus: unary,
  SpaceToDepth: op(1, { blocksize: "INT!" }),
  Split: op([1, 2], { axis: "INT", num_outputs: "INT" }, [1, Number.POSITIVE_INFINITY]),
  Sqrt: unary,
  Squeeze: op([1, 2]),
  Sub: binary,
  Sum: variadic,
  Tanh: unary,
  Tile: binary,
  Transpose: op(1, { perm: "INTS" }),
  Unsqueeze: binary,
  Where: op(3),
};

/** ONNX Runtime's own operators on the CPU. */
const microsoft: Readonly<Record<string, OpRule>> = {
  FusedConv: op([2, 4], fusedConvolution),
  FusedMatMul: op(2, { alpha: "FLOAT", transA: "INT", transB: "INT", transBatchA: "INT", transBatchB: "INT" }),
};

/** ONNX Runtime's operators on channel-blocked tensors [N, C/B, H, W, B]. */
const microsoftBlocked: Readonly<Record<string, OpRule>> = {
  AveragePool: op(1, { ...pooling, count_include_pad: "INT" }),
  Conv: op([2, 4], fusedConvolution),
  GlobalAveragePool: unary,
  GlobalMaxPool: unary,
  MaxPool: op(1, { ...pooling, storage_order: "INT" }),
  ReorderInput: op(1, { channels_last: "INT" }),
  ReorderOutput: op(1, { channels: "INT", channels_last: "INT" }),
  Upsample: op(1, { scales: "INTS", mode: "STRING", coordinate_transformation_mode: "STRING" }),
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
