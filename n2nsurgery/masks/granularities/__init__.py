"""Granularities: what a random pattern keeps or prunes as one piece; one file each."""

from __future__ import annotations

from typing import Protocol

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
