"""Granularities: what a random pattern keeps or prunes as one piece; one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry
from n2nsurgery.masks.grid import ChannelGrid


class Granularity(Protocol):
    """How the weights of a grid are tiled into units of equal size."""

    def units(self, grid: ChannelGrid) -> ChannelGrid:
        """The grid of units; `grid.numel` is a multiple of its `numel`."""

    def expand(self, units: np.ndarray, grid: ChannelGrid) -> np.ndarray:
        """The boolean choice of units as a choice of weights, in the grid's shape."""


GRANULARITIES: Registry[type[Granularity]] = registries.GRANULARITIES

if TYPE_CHECKING:
    GranularityRule = str | Granularity
else:
    GranularityRule = str  # what a file or the command line can say; in Python it may be an object


def granularity_of(rule: GranularityRule) -> Granularity:
    """The granularity called `rule`, with its defaults, or `rule` itself; UnknownNameError for an unknown name."""
    return GRANULARITIES.get(rule)() if isinstance(rule, str) else rule
