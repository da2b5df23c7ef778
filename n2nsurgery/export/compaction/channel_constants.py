"""Constants of channels after an operator that takes each channel to itself.

NaN stands for "not constant". A rule is here only where it holds for every input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BEFORE_SPATIAL = 2

_POINTWISE: dict[str, Callable[[Floats], Floats]] = {
    "Relu": lambda c: np.maximum(c, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda c: (1 + np.tanh(c / 2)) / 2,
    "Identity": lambda c: c,
    "MaxPool": lambda c: c,  # padding never wins a maximum
    "GlobalAveragePool": lambda c: c,
    "GlobalMaxPool": lambda c: c,
    **dict.fromkeys(
        ("LeakyRelu", "Elu", "Selu", "Gelu", "HardSwish", "Mish", "Erf"), lambda c: np.where(c == 0, 0, np.nan)
    ),
    **dict.fromkeys(("HardSigmoid", "Softplus"), lambda c: np.full_like(c, np.nan)),
}


def constants_after(node: ir.Node, before: Floats) -> Floats | None:
    """The constants after `node`, of which all other inputs are constant; None without a rule for it."""
    if node.op_type in _POINTWISE:
        return _POINTWISE[node.op_type](before)
    rule = _RULES.get(node.op_type)
    return rule(node, before) if rule is not None else None


def is_padded(node: ir.Node) -> bool:
    """Positions beyond the border take part, as zeros."""
    return any(node.attributes.get_ints("pads", [])) or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET"


def _clip(node: ir.Node, before: Floats) -> Floats | None:
    low, high = (_constant(node, index) for index in (1, 2))
    if any(bound is not None and bound.size != 1 for bound in (low, high)):
        return None
    clipped: Floats = np.clip(
        before, -np.inf if low is None else float(low.item()), np.inf if high is None else float(high.item())
    )
    return clipped


def _average_pool(node: ir.Node, before: Floats) -> Floats:
    """Zeros of the padding and windows that are cut off may count or not: only 0 stays 0 for certain."""
    if is_padded(node) or node.attributes.get_int("ceil_mode", 0) != 0:
        return np.where(before == 0, 0, np.nan)
    return before


def _reduce_mean(node: ir.Node, before: Floats) -> Floats | None:
    source, axes = node.inputs[0], _constant(node, 1)
    if source is None or source.shape is None or axes is None or not axes.size:
        return None
    spatial = all(int(axis) % len(source.shape) >= _BEFORE_SPATIAL for axis in axes)
    return before if spatial else None


def _batch_normalization(node: ir.Node, before: Floats) -> Floats | None:
    """Statistics of inference: (x - mean) / sqrt(variance + epsilon) * scale + bias."""
    parameters = [_constant(node, index) for index in range(1, 5)]
    if any(parameter is None or parameter.shape != before.shape for parameter in parameters):
        return None
    scale, bias, mean, variance = (np.asarray(parameter, np.float64) for parameter in parameters)
    normalized: Floats = (before - mean) / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5)) * scale + bias
    return normalized


def _constant(node: ir.Node, index: int) -> NDArray[Any] | None:
    value = node.inputs[index] if len(node.inputs) > index else None
    return value.const_value.numpy() if value is not None and value.const_value is not None else None


_RULES: dict[str, Callable[[ir.Node, Floats], Floats | None]] = {
    "Clip": _clip,
    "AveragePool": _average_pool,
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _batch_normalization,
}
