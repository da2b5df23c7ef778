"""ChannelGrid: a weight of any layout seen as (groups, outputs, inputs, taps)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from n2nsurgery.graph.layers.layer_graph import PrunableWeight

_STACKS = ("linear_stack", "matrix_stack")
_SPLIT = {"linear": -1, "matrix": -1, "input_first": 1}
"""Before which axis the others begin: inputs or outputs."""


@dataclass(frozen=True, kw_only=True)
class ChannelGrid:
    """Sizes of a weight: `outputs` and `inputs` are channels of ONE group, `taps` the positions of the kernel."""

    groups: int
    outputs: int
    inputs: int
    taps: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(groups, outputs, inputs, taps)."""
        return (self.groups, self.outputs, self.inputs, self.taps)

    @property
    def numel(self) -> int:
        """Number of weights."""
        return prod(self.shape)


def grid_of(weight: PrunableWeight) -> ChannelGrid:
    """The grid of a weight."""
    if weight.layout in _STACKS:
        stack, first, second = weight.shape
        outputs, inputs = (second, first) if _transposed(weight) else (first, second)
        return ChannelGrid(groups=stack, outputs=outputs, inputs=inputs, taps=1)
    if (axis := _SPLIT.get(weight.layout)) is not None:
        first, second = prod(weight.shape[:axis]), prod(weight.shape[axis:])
        outputs, inputs = (second, first) if _transposed(weight) else (first, second)
        return ChannelGrid(groups=1, outputs=outputs, inputs=inputs, taps=1)
    first, second = weight.shape[:2]
    outputs, inputs = (second, first // weight.groups) if _transposed(weight) else (first // weight.groups, second)
    return ChannelGrid(groups=weight.groups, outputs=outputs, inputs=inputs, taps=prod(weight.shape[2:]))


def to_grid(values: np.ndarray, weight: PrunableWeight) -> np.ndarray:
    """A view in the grid's shape of `values`, which have the weight's shape."""
    grid = grid_of(weight)
    if _transposed(weight):
        return values.reshape(grid.groups, grid.inputs, grid.outputs, grid.taps).swapaxes(1, 2)
    return values.reshape(grid.shape)


def from_grid(values: np.ndarray, weight: PrunableWeight) -> np.ndarray:
    """`values`, which have the grid's shape, in the weight's shape and contiguous."""
    ordered = values.swapaxes(1, 2) if _transposed(weight) else values
    return np.ascontiguousarray(ordered).reshape(weight.shape)


def _transposed(weight: PrunableWeight) -> bool:
    """Whether the inputs come before the outputs."""
    return weight.layout in {"conv_transpose", "matrix", "input_first", "matrix_stack"}
