"""Criterion `expander`: every output channel is connected to the same number of random input channels (X-Nets).

Whole kernels are kept or pruned. Inputs are served equally often only on average; `fixed-fan` balances both sides.
Source: Prabhu et al. 2018, "Deep Expander Networks: Efficient Deep Networks from Graph Theory", section 3.
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
from n2nsurgery.masks.patterns.expander import expander


@dataclass(frozen=True, kw_only=True)
class Expander:
    """`allocation`: how a density without degrees of its own is divided among the layers."""

    allocation: AllocationRule = "uniform"

    needs: ClassVar[Needs] = "nothing"

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown allocation."""
        allocation_of(self.allocation)

    def step(self, weight: PrunableWeight) -> int:
        """The weights of degree 1; legal counts are its multiples."""
        grid = grid_of(weight)
        return grid.groups * grid.outputs * grid.taps

    def pattern(self, weight: PrunableWeight, count: int, generator: np.random.Generator) -> Tensor:
        """A random mask of equal fan-ins; `count` is a multiple of `step`."""
        grid = grid_of(weight)
        units = np.zeros(grid.shape, dtype=np.bool_)
        degree = count // self.step(weight)
        for group in range(grid.groups):
            seed = int(generator.integers(2**62))
            units[group] = expander(grid.outputs, grid.inputs, degree=degree, seed=seed).numpy()[..., None]
        return torch.from_numpy(from_grid(units, weight))


MEMBER = Expander
