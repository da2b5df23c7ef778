"""Granularity `kernel`: the whole k x k kernel between two channels is kept or pruned.

This is channel-to-channel connectivity, as in Deep Expander Networks (Prabhu et al. 2018), which the N2NSkip paper
cites for randomized pruning. For linear layers and 1 x 1 kernels it equals `weight`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from n2nsurgery.masks.grid import ChannelGrid


@dataclass(frozen=True, kw_only=True)
class KernelGranularity:
    """A unit is the kernel of one pair of channels."""

    def units(self, grid: ChannelGrid) -> ChannelGrid:
        """One unit for each pair of channels."""
        return replace(grid, taps=1)

    def expand(self, units: np.ndarray, grid: ChannelGrid) -> np.ndarray:
        """Every tap follows its pair of channels."""
        return units.repeat(grid.taps, axis=3)


MEMBER = KernelGranularity
