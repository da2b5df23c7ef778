"""One-node models that compute with integers, and what they must give, in numpy's integers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sparse_node import coded

from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.sparse.operators import DOMAIN, VERSION

Levels = tuple[float, int]
"""A scale, and the level of 0.0."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer with int8 weights: everything but its input.

    `strides`, `pads`, `dilations` and `group` are empty of a linear layer; `residual` and `total` are the levels of a
    residual and of the sum with it. `packed`: which of X, the residual and Y are packed, three of 0 or 1, or nothing.
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    x: Levels
    y: Levels
    residual: Levels | None = None
    total: Levels | None = None
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    group: int = 1
    packed: tuple[int, ...] = ()
    code: Code = "gaps8"

    @property
    def op(self) -> str:
        """The operator's name."""
        kind = "Gemm" if self.weight.ndim == 2 else "Conv"
        return f"SparseQLinear{kind}{'Add' * (self.residual is not None)}{'Bits' * (self.code == 'bits')}"

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the node."""
        shape = {"weight_shape": list(self.weight.shape)}
        if self.weight.ndim == 2:
            return shape
        return shape | {
            "strides": list(self.strides), "pads": list(self.pads), "dilations": list(self.dilations),
            "group": self.group, **({"packed": list(self.packed)} if self.packed else {}),
        }  # fmt: skip

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        """Constant inputs by name, in order, without a residual's."""
        code = coded(self.weight, self.code)
        return {
            **levels("x", self.x), "places": code["places"], "values": code["values"].astype(np.int8),
            "scales": self.scales, "bias": self.bias, **levels("y", self.y),
        }  # fmt: skip

    def model(self, constants: dict[str, NDArray[Any]] | None = None) -> bytes:
        """A serialised model with inputs x (and residual) and output out, all of uint8 and open shapes."""
        constants = self.constants if constants is None else constants
        names, inputs = ["x", *constants], ["x"]
        if self.residual is not None and self.total is not None:
            more = levels("residual", self.residual) | levels("sum", self.total)
            constants, inputs = constants | more, ["x", "residual"]
            names += ["residual", *more]
        node = helper.make_node(self.op, names, ["out"], domain=DOMAIN, **self.attributes)
        initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
        values = [
            helper.make_tensor_value_info(name, TensorProto.UINT8, [None] * self.weight.ndim)
            for name in (*inputs, "out")
        ]
        graph = helper.make_graph([node], "one_node", values[:-1], values[-1:], initializers)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
        made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return made.SerializeToString()

    def expected(self, x: NDArray[np.uint8], residual: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """The levels of the result: exact sums, one float32 product, rounded half to even."""
        sums = self.sums(x)
        shape = (-1,) if self.weight.ndim == 2 else (-1, *[1] * (self.weight.ndim - 2))
        multiplier = (np.float32(self.x[0]) * self.scales / np.float32(self.y[0])).astype(np.float32)
        product = to_levels(sums.astype(np.float32) * multiplier.reshape(shape), self.y[1])
        if residual is None or self.residual is None or self.total is None:
            return product
        own, other = (np.float32(scale) / np.float32(self.total[0]) for scale in (self.y[0], self.residual[0]))
        mine = (product.astype(np.int32) - self.y[1]).astype(np.float32) * own
        theirs = (residual.astype(np.int32) - self.residual[1]).astype(np.float32) * other
        return to_levels(mine + theirs, self.total[1])

    def sums(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """bias + sum of weight times (level - zero), which no rounding touches."""
        levels = x.astype(np.int64) - self.x[1]
        weight = self.weight.astype(np.int64)
        if weight.ndim == 2:
            return (levels @ weight.T + self.bias).astype(np.int32)
        rank = weight.ndim - 2
        padded = np.pad(levels, [(0, 0), (0, 0), *zip(self.pads[:rank], self.pads[rank:], strict=True)])
        extents = [
            (padded.shape[2 + a] - (weight.shape[2 + a] - 1) * self.dilations[a] - 1) // self.strides[a] + 1
            for a in range(rank)
        ]
        y = np.zeros((x.shape[0], weight.shape[0], *extents), np.int64)
        y += self.bias.reshape(1, -1, *[1] * rank)
        outputs, inputs = weight.shape[0] // self.group, weight.shape[1]
        for tap in itertools.product(*[range(k) for k in weight.shape[2:]]):
            window = tuple(
                slice(t * d, t * d + (e - 1) * s + 1, s)
                for t, d, e, s in zip(tap, self.dilations, extents, self.strides, strict=True)
            )
            for g in range(self.group):
                of, to = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
                y[:, to] += np.einsum(
                    "ni...,oi->no...", padded[(slice(None), of, *window)], weight[(to, slice(None), *tap)]
                )
        return y.astype(np.int32)


def levels(name: str, of: Levels) -> dict[str, NDArray[Any]]:
    """The constants of a scale and its zero."""
    return {f"{name}_scale": np.float32(of[0]), f"{name}_zero_point": np.uint8(of[1])}


def packed(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, C, *spatial) in the packed order, (N, C / 4, *spatial, 4), under the same shape; C is a multiple of 4."""
    fours = levels.reshape(levels.shape[0], -1, 4, *levels.shape[2:])
    return np.ascontiguousarray(np.moveaxis(fours, 2, -1)).reshape(levels.shape)


def to_levels(steps: NDArray[np.float32], zero: int) -> NDArray[np.uint8]:
    """As QuantizeLinear: nearest, half to even, then cut off."""
    return np.clip(np.rint(steps) + zero, 0, 255).astype(np.uint8)


def fitted(layer: Layer, x: NDArray[np.uint8]) -> Layer:
    """The layer with a result's scale under which its results for `x` take levels of all sizes."""
    sums = layer.sums(x)
    spread = float(np.abs(sums.astype(np.float64)).max(initial=1)) * layer.x[0] * float(layer.scales.max()) / 150
    return replace(layer, y=(max(spread, 1e-6), layer.y[1]))
