"""The operators of our domain: how their names are made, and what they take.

    Sparse{Conv|Gemm|Linear|MatMul}[Add][Activation][Bits][Int8] (X, places, values, [scales], bias, [residual]) -> Y
    SparseConvTranspose[Activation][Bits][Int8] (X, places, values, [scales], bias) -> Y
    Decode[To{type}][Bits][Int8] (places, values, [scales]) -> W
    PlainMaxPool (X) -> Y
    PlainDepthwiseConv[Activation] (X, W, bias) -> Y
    PlainBatchNormalization[Activation] (X, scale, B, mean, var) -> Y
    PlainJoined{n}BatchNormalizationRelu (X1, ..., Xn, scale, B, mean, var) -> Y
    PlainGate (X, gate) -> Y

`Activation` is one of `Relu`, `Clip`, `LeakyRelu`, `HardSwish`, `Silu`, `Gelu` and `TanhGelu`.
`places` are gaps (uint8 or uint16), or a bitmask (uint8) in `...Bits`; `values` are float or float16, or int8 in
`...Int8`, which takes one float scale for each row. A Sparse... has a kernel in the sparse runtime; a Decode has none:
it stores a weight small where the dense operator computes. The plain ones hold no code: they are standard operators
(MaxPool, a depthwise Conv, BatchNormalization, also behind a Concat, a Mul by one number for each channel) with kernels
in the layout of the sparse ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from n2nsurgery.export.fusion.activations import SETTINGS, ActivationName

DOMAIN = "n2nsurgery"
VERSION = 1
PLAIN_MAX_POOL = "PlainMaxPool"
PLAIN_DEPTHWISE = "PlainDepthwiseConv"
PLAIN_NORMALIZATION = "PlainBatchNormalization"
MOST_JOINED = 32
"""Inputs of PlainJoined...BatchNormalizationRelu; the library registers a name for each number."""
PLAIN_GATE = "PlainGate"

Kind = Literal["Conv", "ConvTranspose", "Gemm", "Linear", "MatMul", "Decode"]
LinearForm = Literal["Gemm", "Linear", "MatMul"]
DecodedType = Literal["float16", "bfloat16", "int8", "uint8"]

GEOMETRY = {
    "Conv": ("strides", "pads", "dilations", "group"),
    "ConvTranspose": ("strides", "pads", "output_padding", "dilations", "group"),
}
"""The attributes that a convolution has besides its weight's shape."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator with a coded weight, by its properties.

    Gemm, Linear and MatMul have one kernel, and differ in the standard operators of their function: a Gemm, or a MatMul
    of inputs of any rank with the bias added after it or without one. `decoded`: the type of a Decode's weight, None
    for float32. No two functions share a name with different overloads: ONNX Runtime before 1.27 takes one for the
    other.
    """

    kind: Kind
    add: bool = False
    activation: ActivationName | None = None
    bits: bool = False
    int8: bool = False
    decoded: DecodedType | None = None

    @property
    def name(self) -> str:
        """The operator's type in the file."""
        stem = self.kind if self.kind == "Decode" else f"Sparse{self.kind}"
        stem += f"To{self.decoded.capitalize()}" if self.decoded else ""
        add, bits, int8 = "Add" * self.add, "Bits" * self.bits, "Int8" * self.int8
        return f"{stem}{add}{self.activation or ''}{bits}{int8}"

    @property
    def weight_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that hold the weight."""
        return ("places", "values", "scales") if self.int8 else ("places", "values")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs, in order."""
        if self.kind == "Decode":
            return self.weight_inputs
        return ("X", *self.weight_inputs, "bias", *(("residual",) if self.add else ()))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes; every node carries all of them."""
        return ("weight_shape", *GEOMETRY.get(self.kind, ()), *SETTINGS.get(self.activation or "", ()))

    @property
    def output(self) -> str:
        """Name of the one output."""
        return "W" if self.kind == "Decode" else "Y"
