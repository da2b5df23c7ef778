"""What each operator does to channels (axis 1): which stay together, which are constant, which it mixes.

A value's channel is constant where it holds one number at every position of every sample, whatever the input is. NaN
stands for "not constant" in all arrays here. An operator without a rule pins the channels of everything it touches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from n2nsurgery.export.compaction.channel_constants import Floats, constants_after, is_padded

Integers = NDArray[np.int64]

_BINARY: dict[str, Callable[[Floats, Floats], Floats]] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}
_DEPTH = 2
"""Dimensions before the first spatial one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """A convolution or Gemm that mixes the channels of `source`: `weight` (O, I, taps) and `bias` (O).

    `reads` (O, I): the weight from an input to an output channel has a tap that is not zero. `padded`: positions
    beyond the border count as 0.
    """

    node: ir.Node
    source: ir.Value
    weight: NDArray[np.float32]
    reads: NDArray[np.bool_]
    bias: Floats
    padded: bool

    def fed(self, constant: Floats) -> Floats:
        """What channels with these constants (0 for none) add to each output, away from the border."""
        some = np.flatnonzero(constant)
        sums: Floats = self.weight[:, some].sum(axis=2, dtype=np.float64) @ constant[some]
        return sums


@dataclass(frozen=True, kw_only=True, eq=False)
class Ties:
    """Channels that stay or go together: `pairs` of (value, channels of it, value, channels of it)."""

    pairs: list[tuple[ir.Value, Integers, ir.Value, Integers]] = field(default_factory=list)
    constant: Floats


def channels(value: ir.Value | None) -> int | None:
    """Size of axis 1, where the value is computed and its size is fixed."""
    if value is None or value.const_value is not None or value.shape is None or len(value.shape) < _DEPTH:
        return None
    return value.shape[1] if isinstance(value.shape[1], int) else None


def product(node: ir.Node) -> Product | None:
    """The Product that `node` is, where its weight is its own, constant and neither grouped nor scaled."""
    weight = node.inputs[1] if node.op_type in {"Conv", "Gemm"} and not node.domain else None
    source = node.inputs[0]
    if weight is None or weight.const_value is None or len(tuple(weight.uses())) != 1 or source is None:
        return None
    if weight.dtype != ir.DataType.FLOAT or node.attributes.get_int("group", 1) != 1:
        return None
    if node.op_type == "Gemm" and not _is_plain_gemm(node):
        return None
    array = weight.const_value.numpy()
    bias = _bias(node, len(array))
    if bias is None or channels(source) != array.shape[1] or channels(node.outputs[0]) is None:
        return None
    array = array.reshape(*array.shape[:2], -1)
    reads = (array != 0).any(axis=2)
    return Product(node=node, source=source, weight=array, reads=reads, bias=bias, padded=is_padded(node))


def ties(node: ir.Node, constant: Callable[[ir.Value], Floats]) -> Ties | None:
    """The Ties of a node that keeps channels apart, or None where no rule proves that it does.

    `constant` gives the constants of a value's channels.
    """
    sources = [value for value in node.inputs if value is not None and value.const_value is None]
    values = [*sources, *node.outputs]
    if node.domain or len(node.outputs) != 1 or not sources or any(channels(value) is None for value in values):
        return None
    if node.op_type in _OF_SEVERAL:
        return _OF_SEVERAL[node.op_type](node, sources, constant)
    if len(sources) != 1 or sources[0] is not node.inputs[0]:
        return None
    return _OF_ONE.get(node.op_type, _one_to_one)(node, sources[0], constant(sources[0]))


def is_flatten(node: ir.Node) -> bool:
    """(N, C, positions...) -> (N, C positions), by a constant shape."""
    source, target = node.inputs[0], node.outputs[0]
    assert source is not None
    assert source.shape is not None
    sizes = [size for size in source.shape[1:] if isinstance(size, int)]
    if len(sizes) != len(source.shape) - 1 or target.shape is None or len(target.shape) != _DEPTH:
        return False
    if target.shape[1] != prod(sizes):
        return False
    if node.op_type == "Flatten":
        return node.attributes.get_int("axis", 1) == 1
    shape = node.inputs[1].const_value if node.inputs[1] is not None else None
    return shape is not None and tuple(shape.shape) == (2,) and int(shape.numpy()[0]) in {-1, 0}


def is_depthwise(node: ir.Node) -> bool:
    """A Conv of which each output reads one input channel, with a weight of its own."""
    weight, source = node.inputs[1], node.inputs[0]
    if weight is None or weight.const_value is None or len(tuple(weight.uses())) != 1:
        return False
    array = weight.const_value.numpy()
    own = array.shape[1] == 1 and node.attributes.get_int("group", 1) == channels(source)
    return own and array.dtype == np.float32 and _bias(node, len(array)) is not None


def _is_plain_gemm(node: ir.Node) -> bool:
    attributes = node.attributes
    scaled = attributes.get_float("alpha", 1.0) != 1 or attributes.get_float("beta", 1.0) != 1
    return not scaled and not attributes.get_int("transA", 0) and bool(attributes.get_int("transB", 0))


def _bias(node: ir.Node, outputs: int) -> Floats | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004 - X, W, B
    if value is None:
        return np.zeros(outputs)
    if value.const_value is None or tuple(value.const_value.shape) != (outputs,):
        return None
    return value.const_value.numpy().astype(np.float64)


def _one_to_one(node: ir.Node, source: ir.Value, before: Floats) -> Ties | None:
    after = constants_after(node, before)
    if after is None or channels(source) != channels(node.outputs[0]):
        return None
    every = np.arange(len(before))
    return Ties(pairs=[(source, every, node.outputs[0], every)], constant=after)


def _concat(node: ir.Node, sources: list[ir.Value], constant: Callable[[ir.Value], Floats]) -> Ties | None:
    if node.attributes.get_int("axis", 0) != 1 or len(sources) != len(node.inputs):
        return None
    pairs, start = [], 0
    for source in sources:
        every = np.arange(channels(source) or 0)
        pairs.append((source, every, node.outputs[0], every + start))
        start += len(every)
    return Ties(pairs=pairs, constant=np.concatenate([constant(source) for source in sources]))


def _binary(node: ir.Node, sources: list[ir.Value], constant: Callable[[ir.Value], Floats]) -> Ties | None:
    """Two values with as many channels, or one and a number."""
    target = node.outputs[0]
    operands: list[Floats] = []
    for value in node.inputs:
        if value is None:
            return None
        if value.const_value is not None:
            if value.const_value.size != 1:
                return None
            operands.append(value.const_value.numpy().reshape(-1).astype(np.float64))
        elif channels(value) != channels(target) or value.shape is None or len(value.shape) != len(target.shape or ()):
            return None
        else:
            operands.append(constant(value))
    every = np.arange(channels(target) or 0)
    after = _BINARY[node.op_type](operands[0], operands[1])
    return Ties(pairs=[(source, every, target, every) for source in sources], constant=after)


def _flatten(node: ir.Node, source: ir.Value, before: Floats) -> Ties | None:
    if not is_flatten(node):
        return None
    features = np.arange(channels(node.outputs[0]) or 0)
    positions = len(features) // len(before)
    owner = features // positions
    return Ties(pairs=[(source, owner, node.outputs[0], features)], constant=before[owner])


def _depthwise(node: ir.Node, source: ir.Value, before: Floats) -> Ties | None:
    if not is_depthwise(node):
        return None
    weight = node.inputs[1].const_value.numpy().astype(np.float64)  # type: ignore[union-attr]
    outputs = np.arange(len(weight))
    owner = outputs // (len(weight) // len(before))
    taps = weight.reshape(len(weight), -1)
    usable = np.where(before == 0, 0.0, np.nan) if is_padded(node) else before
    bias = _bias(node, len(weight))
    assert bias is not None
    fed = usable[owner] * taps.sum(axis=1) + bias
    constant = np.where((taps != 0).any(axis=1), fed, bias)
    return Ties(pairs=[(source, owner, node.outputs[0], outputs)], constant=constant)


_OF_SEVERAL = {"Concat": _concat, **dict.fromkeys(_BINARY, _binary)}
_OF_ONE = {"Flatten": _flatten, "Reshape": _flatten, "Conv": _depthwise}
