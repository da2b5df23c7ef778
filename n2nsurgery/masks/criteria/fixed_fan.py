"""Criterion `fixed-fan`: every output neuron has exactly fi inputs and every input neuron exactly fo outputs.

Pre-defined sparsity: random bipartite regular junctions, for convolutions between channels, whose kernels are kept or
pruned whole. Counts without whole fan-outs are refused, not rounded.
Source: "Characterizing sparse connectivity patterns in neural networks", section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.allocations import AllocationRule, allocation_of
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.grid import grid_of
from n2nsurgery.masks.patterns.balanced import balanced_mask
from n2nsurgery.masks.patterns.fans import regular_step


@dataclass(frozen=True, kw_only=True)
class FixedFan:
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
        """A random mask with equal fan-outs and equal fan-ins; `count` is a multiple of `step`."""
        return balanced_mask(weight, count, generator, granularity="kernel")


MEMBER = FixedFan
