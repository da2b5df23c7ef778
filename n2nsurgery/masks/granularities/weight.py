"""Granularity `weight`: every single weight is kept or pruned on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from n2nsurgery.masks.grid import ChannelGrid


@dataclass(frozen=True, kw_only=True)
class WeightGranularity:
    """A unit is one weight."""

    def units(self, grid: ChannelGrid) -> ChannelGrid:
        """The grid itself."""
        return grid

    def expand(self, units: np.ndarray, grid: ChannelGrid) -> np.ndarray:
        """The units themselves."""
        return units.reshape(grid.shape)


MEMBER = WeightGranularity
