"""Ranges in which the biases of the layers can be counted.

A layer's bias is counted in steps of its input's scale times its weight's, in 32 bits. Where an input is so small
beside the bias that there would be more steps than `MOST_STEPS`, its range is widened until there are as many. What is
lost of a product is then below 2^-24 of the bias. It happens in networks whose signal dies out, as before training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from n2nsurgery.export.integers.layers import IntegerLayer
from n2nsurgery.export.integers.levels import levels_of
from n2nsurgery.export.integers.ranges import Range

MOST_STEPS = 2**30
_SILENT = 1e-28
"""The greatest value of a tensor that is zero everywhere, before it is widened: small enough beside any bias."""

_MOVING = frozenset({"MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity"})
"""Operators whose results are values of their first input, which therefore take levels for floats."""


def widened(layers: Sequence[IntegerLayer], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The `ranges`, with those of inputs widened in which a bias has more steps than MOST_STEPS."""
    wide = {name: span if any(span) else (0.0, _SILENT) for name, span in ranges.items()}
    for layer in layers:
        source = layer.match.nodes[0].inputs[0]
        assert source is not None
        names = [name for name in _origins(source) if name in wide]
        factor = max(_factor(layer, levels_of(*wide[name]).scale) for name in names)
        for name in names if factor > 1 else ():
            low, high = wide[name]
            wide[name] = (low * factor, high * factor)
    return wide


def moves(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """Whether the node's one result holds values of its first input, so that levels may pass it as floats do."""
    return node is not None and not node.domain and node.op_type in _MOVING and len(node.outputs) == 1


def bias_of(layer: IntegerLayer) -> NDArray[np.float32]:
    """The layer's bias, zeros where it has none; shape (outputs,)."""
    bias = layer.match.bias
    if bias is None:
        return np.zeros(layer.coded.shape[0], np.float32)
    assert bias.const_value is not None
    array: NDArray[np.float32] = bias.const_value.numpy()
    return array


def _origins(value: ir.Value | None) -> Iterator[str]:
    """Names of a value and of those that it was moved from, the first last."""
    while value is not None:
        yield str(value.name)
        node = value.producer()
        value = node.inputs[0] if moves(node) else None


def _factor(layer: IntegerLayer, scale: float) -> float:
    """How many times wider the input's levels have to lie; 1 where they may stay."""
    assert layer.coded.scales is not None
    weighted = layer.coded.decoded().reshape(layer.coded.shape[0], -1).any(axis=1)
    steps = np.abs(bias_of(layer).astype(np.float64)) / (scale * layer.coded.scales.astype(np.float64))
    most = float(np.max(steps, where=weighted, initial=0))
    return max(1.0, 1.001 * most / MOST_STEPS)  # a thousandth more for the rounding of scales to float32
