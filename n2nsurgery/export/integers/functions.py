"""The integer operators in standard ONNX: DequantizeLinear, the layer, QuantizeLinear.

ONNX Runtime inlines the body, folds the decoding of the weight and fuses the rest into its own QLinearConv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from n2nsurgery.export.integers.interleaving import PACKED
from n2nsurgery.export.sparse.functions import decoding, parsed
from n2nsurgery.export.sparse.operators import GEOMETRY

_WEIGHT = """
    W8 = Cast <to = 3> (W)
    none = Shape (scales)
    weight_zeros = ConstantOfShape <value = int8[1] {0}> (none)
    bias_zeros = ConstantOfShape <value = int32[1] {0}> (none)
    bias_scales = Mul (scales, x_scale)
    x = DequantizeLinear (X, x_scale, x_zero_point)
    w = DequantizeLinear <axis = 0> (W8, scales, weight_zeros)
    b = DequantizeLinear <axis = 0> (bias, bias_scales, bias_zeros)
"""

_PRODUCTS = {
    "Conv": """
    product = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
        (x, w, b)
""",
    "Gemm": "product = Gemm <transB = 1> (x, w, b)",
    "MatMul": """
    turned = Transpose <perm = [1, 0]> (w)
    multiplied = MatMul (x, turned)
    product = Add (multiplied, b)
""",
}

_RESULT = "Y = QuantizeLinear (product, y_scale, y_zero_point)"

_SUM = """
    rounded = QuantizeLinear (product, y_scale, y_zero_point)
    mine = DequantizeLinear (rounded, y_scale, y_zero_point)
    theirs = DequantizeLinear (residual, residual_scale, residual_zero_point)
    sum = Add (mine, theirs)
    Y = QuantizeLinear (sum, sum_scale, sum_zero_point)
"""


@dataclass(frozen=True, kw_only=True)
class IntegerOperator:
    """One integer operator by its properties, as Operator in export/sparse; a MatMul takes a bias, as a Gemm does."""

    kind: Literal["Conv", "Gemm", "MatMul"]
    add: bool = False
    bits: bool = False

    @property
    def name(self) -> str:
        """The operator's type in the file."""
        return f"SparseQLinear{self.kind}{'Add' * self.add}{'Bits' * self.bits}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs, in order."""
        plain = ("X", "x_scale", "x_zero_point", "places", "values", "scales", "bias", "y_scale", "y_zero_point")
        residual = ("residual", "residual_scale", "residual_zero_point", "sum_scale", "sum_zero_point")
        return plain + residual * self.add

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes; every node carries all of them."""
        return ("weight_shape", *GEOMETRY.get(self.kind, ()), *(PACKED,) * (self.kind == "Conv"))


def integer_function(operator: IntegerOperator, opset: int) -> ir.Function:
    """The model-local function of `operator`, in the model's operator set."""
    body = "\n".join((
        decoding(bits=operator.bits, opset=opset), _WEIGHT, _PRODUCTS[operator.kind],
        _SUM if operator.add else _RESULT,
    ))  # fmt: skip
    signature = f"{operator.name} <{', '.join(operator.attributes)}> ({', '.join(operator.inputs)}) => (Y)"
    return parsed(signature, body, opset)
