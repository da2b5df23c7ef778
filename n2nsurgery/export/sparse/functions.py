"""Our operators in standard ONNX: model-local functions that any runtime can inline.

A runtime that knows nothing of the domain `n2nsurgery` inlines the body and folds the decoding, which has constant
inputs only, into an ordinary weight. Therefore no `NonZero` and no `DequantizeLinear`: ONNX Runtime folds neither.
"""

from __future__ import annotations

import re

import onnx
import onnx_ir as ir
from onnx import parser

from n2nsurgery.export.capture.capture import OPSET
from n2nsurgery.export.fusion.activations import ActivationName
from n2nsurgery.export.sparse.operators import DOMAIN, Operator

_CASTS = """
    shape = Constant <value_ints: ints = @weight_shape> ()
    kept_values = Cast <to = 1> (values)
    axis = Constant <value = int64 {0}> ()
    all = Constant <value = int64[1] {-1}> ()
"""

LEAST_OPSET = 13
"""The oldest operator set that the bodies can be written in."""

BITWISE_AND = 18
_LOWEST_BIT = "bits = BitwiseAnd (shifted, one)"
_LOWEST_BIT_BEFORE = "two = Constant <value = uint8 {2}> ()\n    bits = Mod (shifted, two)"

_ONNX_TYPES = {"float16": 10, "bfloat16": 16, "int8": 3, "uint8": 2}
"""TensorProto.DataType of what a Decode may give besides float."""

# The running sum of the gaps gives the positions of the kept values.
_GAPS = """
    steps = Cast <to = 6> (places)
    positions = CumSum (steps, axis)
    zeros = ConstantOfShape <value = float[1] {0}> (shape)
    flat_zeros = Reshape (zeros, all)
    flat = ScatterElements <axis = 0> (flat_zeros, positions, kept_values)
"""

# A kept place takes value number (bits set up to and including it) of [0, values...], every other takes number 0.
_BITS = """
    shifts = Constant <value = uint8[8] {0, 1, 2, 3, 4, 5, 6, 7}> ()
    one = Constant <value = uint8 {1}> ()
    last = Constant <value = int64[1] {1}> ()
    column = Unsqueeze (places, last)
    shifted = BitShift <direction = "RIGHT"> (column, shifts)
    bits = BitwiseAnd (shifted, one)
    byte_bits = Reshape (bits, all)
    kept = Cast <to = 6> (byte_bits)
    count = CumSum (kept, axis)
    number = Mul (count, kept)
    zero = Constant <value = float[1] {0}> ()
    table = Concat <axis = 0> (zero, kept_values)
    long = Gather <axis = 0> (table, number)
    start = Constant <value = int64[1] {0}> ()
    numel = ReduceProd <keepdims = 1> (shape)
    flat = Slice (long, start, numel)
"""

_SCALE = """
    rows_of = Shape (scales)
    matrix_shape = Concat <axis = 0> (rows_of, all)
    levels = Reshape (flat, matrix_shape)
    second = Constant <value = int64[1] {1}> ()
    factors = Unsqueeze (scales, second)
    scaled = Mul (levels, factors)
    W = Reshape (scaled, shape)
"""

_RESHAPED = "W = Reshape (flat, shape)"

_OPERATIONS = {
    "Conv": """
    product = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
        (X, W, bias)
""",
    "ConvTranspose": """
    product = ConvTranspose <strides: ints = @strides, pads: ints = @pads, output_padding: ints = @output_padding,
        dilations: ints = @dilations, group: int = @group> (X, W, bias)
""",
    "Gemm": """
    product = Gemm <transB = 1> (X, W, bias)
""",
    "Linear": """
    turned = Transpose <perm = [1, 0]> (W)
    multiplied = MatMul (X, turned)
    product = Add (multiplied, bias)
""",
    "MatMul": """
    turned = Transpose <perm = [1, 0]> (W)
    product = MatMul (X, turned)
""",
    "Decode": "",
}


_ACTIVATIONS = {
    "Relu": "activated = Relu (result)",
    "Clip": """
    least = Constant <value_float: float = @low> ()
    most = Constant <value_float: float = @high> ()
    activated = Clip (result, least, most)
""",
    "LeakyRelu": "activated = LeakyRelu <alpha: float = @slope> (result)",
    "HardSwish": """
    gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (result)
    activated = Mul (result, gate)
""",
    "Silu": """
    gate = Sigmoid (result)
    activated = Mul (result, gate)
""",
    "Gelu": """
    root = Constant <value = float {1.41421354}> ()
    scaled_result = Div (result, root)
    error = Erf (scaled_result)
    unit = Constant <value = float {1}> ()
    raised = Add (error, unit)
    half = Constant <value = float {0.5}> ()
    gate = Mul (half, raised)
    activated = Mul (result, gate)
""",
    "TanhGelu": """
    three = Constant <value = float {3}> ()
    cube = Pow (result, three)
    factor = Constant <value = float {0.044715}> ()
    cubic = Mul (factor, cube)
    inner = Add (result, cubic)
    root = Constant <value = float {0.797884583}> ()
    scaled_result = Mul (root, inner)
    bent = Tanh (scaled_result)
    unit = Constant <value = float {1}> ()
    raised = Add (bent, unit)
    half = Constant <value = float {0.5}> ()
    gate = Mul (half, raised)
    activated = Mul (result, gate)
""",
}
"""From `result` to `activated`, as torch's exporter writes them, so that ONNX Runtime rounds as in the dense file."""


def function(operator: Operator, opset: int = OPSET) -> ir.Function:
    """The model-local function of `operator`; its operator set is the model's, as ONNX's checker demands.

    `opset` is LEAST_OPSET or newer.
    """
    signature = f"{operator.name} <{', '.join(operator.attributes)}> ({', '.join(operator.inputs)})"
    return parsed(f"{signature} => ({operator.output})", _body(operator, opset), opset)


def parsed(signature: str, body: str, opset: int) -> ir.Function:
    """The function of our domain with this signature and body, in ONNX's text form."""
    text = f"""<domain: "{DOMAIN}", opset_import: ["": {opset}]>
    {signature} {{
    {body}
    }}"""
    parsed: onnx.FunctionProto = parser.parse_function(text)
    return ir.serde.deserialize_function(parsed)


def ending(body: str, result: str, activation: ActivationName | None) -> str:
    """`body`, whose last value is `result`, with `activation` behind it; the last value is `Y` then."""
    if activation:
        applied = re.sub(r"\bresult\b", result, _ACTIVATIONS[activation])
        body = f"{body}\n{applied}"
        result = "activated"
    return re.sub(rf"\b{result} =", "Y =", body)


def decoding(*, bits: bool, opset: int) -> str:
    """What makes the float weight `W`, without scales, of `places` and `values`."""
    return "\n".join((*_flat(bits=bits, opset=opset), _RESHAPED))


def _flat(*, bits: bool, opset: int) -> tuple[str, str]:
    masked = _BITS if opset >= BITWISE_AND else _BITS.replace(_LOWEST_BIT, _LOWEST_BIT_BEFORE)
    return _CASTS, masked if bits else _GAPS


def _body(operator: Operator, opset: int) -> str:
    lines = [*_flat(bits=operator.bits, opset=opset), _SCALE if operator.int8 else _RESHAPED]
    if operator.decoded:
        lines[-1] = f"floats = Reshape (flat, shape)\n W = Cast <to = {_ONNX_TYPES[operator.decoded]}> (floats)"
        return "\n".join(lines)
    lines.append(_OPERATIONS[operator.kind])
    result = "product"
    if operator.add:
        lines.append("sum = Add (product, residual)")
        result = "sum"
    body = "\n".join(lines)
    return body if operator.kind == "Decode" else ending(body, result, operator.activation)
