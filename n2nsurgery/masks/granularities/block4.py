"""Granularity `block4`: four neighbouring output channels share their input positions.

A sparse kernel then loads each input value once for four channels. Layers whose output channels (of one group) are no
multiple of four are tiled by single weights: nothing would be gained there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from n2nsurgery.masks.grid import ChannelGrid

BLOCK = 4


@dataclass(frozen=True, kw_only=True)
class Block4Granularity:
    """A unit is one input position of four neighbouring output channels."""

    def units(self, grid: ChannelGrid) -> ChannelGrid:
        """One unit for each block of output channels, input and tap."""
        return grid if grid.outputs % BLOCK else replace(grid, outputs=grid.outputs // BLOCK)

    def expand(self, units: np.ndarray, grid: ChannelGrid) -> np.ndarray:
        """The four channels of a block follow their unit."""
        return units.repeat(grid.outputs // units.shape[1], axis=1)


MEMBER = Block4Granularity
