"""Criterion `random` (RP): a random pattern that serves every channel equally often.

Randomized pruning at initialization "while maintaining rich connectivity throughout the network" (N2NSkip paper,
section 3). The paper does not state the allocation; ERK is the default because uniform density starves the stem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.allocations import AllocationRule, allocation_of
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.granularities import GranularityRule, granularity_of
from n2nsurgery.masks.patterns.balanced import balanced_mask


@dataclass(frozen=True, kw_only=True)
class Random:
    """`allocation`: by which rule layers share the count. `granularity`: single `weight`s or whole `kernel`s."""

    allocation: AllocationRule = "erk"
    granularity: GranularityRule = "weight"

    needs: ClassVar[Needs] = "nothing"

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown allocation or granularity."""
        allocation_of(self.allocation)
        granularity_of(self.granularity)

    def step(self, weight: PrunableWeight) -> int:  # noqa: ARG002 - the protocol's
        """1: any count can be drawn."""
        return 1

    def pattern(self, weight: PrunableWeight, count: int, generator: np.random.Generator) -> Tensor:
        """A balanced random mask of the weight with exactly `count` True."""
        return balanced_mask(weight, count, generator, granularity=self.granularity)


MEMBER = Random
