"""Allocations: by which share an exact number of weights is divided among layers or skips; one file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry


class Allocation(Protocol):
    """A rule that gives every item a share; shares are integers, so that the division is exact everywhere."""

    def shares(self, shapes: Sequence[tuple[int, ...]], total: int, generator: np.random.Generator | None) -> list[int]:
        """The relative share of each item, >= 0."""


ALLOCATIONS: Registry[type[Allocation]] = registries.ALLOCATIONS

if TYPE_CHECKING:
    AllocationRule = str | Allocation
else:
    AllocationRule = str  # what a file or the command line can say; in Python it may be an object


def allocation_of(rule: AllocationRule) -> Allocation:
    """The allocation called `rule`, with its defaults, or `rule` itself; UnknownNameError for an unknown name."""
    return ALLOCATIONS.get(rule)() if isinstance(rule, str) else rule
