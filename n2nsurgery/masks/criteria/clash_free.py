"""Criterion `clash-free`: fixed fan-out and fan-in from an interleaver that memory banks serve without conflicts.

See masks/patterns/clash_free.py for the pattern. In convolutions it joins channels: their kernels are kept or pruned
whole.
Source: Dey et al. 2019, "Pre-Defined Sparse Neural Networks with Hardware Acceleration", section III.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.allocations import AllocationRule, allocation_of
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.grid import from_grid, grid_of
from n2nsurgery.masks.patterns.clash_free import clash_free
from n2nsurgery.masks.patterns.fans import regular_step


@dataclass(frozen=True, kw_only=True)
class ClashFree:
    """`allocation`: how a density without fan-outs of its own is divided among the layers."""

    allocation: AllocationRule = "uniform"

    needs: ClassVar[Needs] = "nothing"

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown allocation."""
        allocation_of(self.allocation)

    def step(self, weight: PrunableWeight) -> int:
        """The weights of the smallest legal fan-out; legal counts are its multiples."""
        return regular_step(grid_of(weight))

    def pattern(self, weight: PrunableWeight, count: int, generator: np.random.Generator) -> Tensor:
        """A clash-free mask with equal fan-outs and equal fan-ins; `count` is a multiple of `step`."""
        grid = grid_of(weight)
        units = np.zeros(grid.shape, dtype=np.bool_)
        if count:
            fan_out = count // (grid.groups * grid.inputs * grid.taps)
            for group in range(grid.groups):
                seed = int(generator.integers(2**62))
                units[group] = clash_free(grid.outputs, grid.inputs, fan_out=fan_out, seed=seed).numpy()[..., None]
        return torch.from_numpy(from_grid(units, weight))


MEMBER = ClashFree
