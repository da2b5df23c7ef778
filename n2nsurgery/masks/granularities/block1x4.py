"""Granularity `block1x4`: four neighbouring input channels are kept or pruned together at each tap of an output.

The dot products of int8 processors (VNNI) multiply four neighbouring inputs by four weights in one instruction, so that
a whole block costs an int8 kernel as much as a single weight. The blocks begin at multiples of four within a group.
Layers whose input channels (of one group) are not a multiple of four are tiled by single weights: a unit has the same
number of weights everywhere, so that a layer keeps exactly what its budget says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from n2nsurgery.masks.grid import ChannelGrid

BLOCK = 4


@dataclass(frozen=True, kw_only=True)
class Block1x4Granularity:
    """A unit is one tap of four neighbouring inputs of one output channel."""

    def units(self, grid: ChannelGrid) -> ChannelGrid:
        """One unit for each output channel, block of inputs and tap."""
        return grid if grid.inputs % BLOCK else replace(grid, inputs=grid.inputs // BLOCK)

    def expand(self, units: np.ndarray, grid: ChannelGrid) -> np.ndarray:
        """The four inputs of a block follow their unit."""
        return units.repeat(grid.inputs // units.shape[2], axis=2)


MEMBER = Block1x4Granularity
