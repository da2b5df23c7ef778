"""What every granularity promises; see `n2nsurgery.masks.granularities` for the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from n2nsurgery.masks.granularities import Granularity
from n2nsurgery.masks.grid import ChannelGrid
from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all

_GRIDS = (
    ChannelGrid(groups=1, outputs=8, inputs=3, taps=9),
    ChannelGrid(groups=2, outputs=3, inputs=5, taps=1),
    ChannelGrid(groups=4, outputs=1, inputs=1, taps=9),
    ChannelGrid(groups=2, outputs=4, inputs=8, taps=3),
)


def check_granularity(granularity: Granularity | type[Any]) -> None:
    """Return where `granularity`, an instance or a class with defaults, keeps the promises of a granularity.

    Raises AssertionError that names the first promise that is broken.
    """
    keeps_all(instance(granularity), GRANULARITY_CHECKS)


def tiles_a_weight_with_equal_units(granularity: Granularity) -> None:
    """The number of units divides the number of weights."""
    for grid in _GRIDS:
        units = granularity.units(grid).numel
        whole = 1 <= units <= grid.numel and grid.numel % units == 0
        expect(whole, f"tiles {grid.numel} weights with {units} units; a divisor is needed")


def expands_units_to_the_grid(granularity: Granularity) -> None:
    """Boolean, of the grid's shape; all units are all weights, no unit is no weight."""
    for grid in _GRIDS:
        for value in (False, True):
            chosen = granularity.expand(np.full(granularity.units(grid).shape, value), grid)
            fits = chosen.shape == grid.shape and chosen.dtype == np.bool_
            expect(fits, f"expands to {chosen.dtype} of shape {chosen.shape}; bool of shape {grid.shape} is needed")
            expect(bool((chosen == value).all()), f"expands units that are all {value} to weights that are not")


def gives_every_unit_as_many_weights(granularity: Granularity) -> None:
    """One unit more is the same number of weights more, and no weight belongs to two."""
    for grid in _GRIDS:
        shape = granularity.units(grid).shape
        size = grid.numel // int(np.prod(shape))
        covered = np.zeros(grid.shape, dtype=int)
        for unit in np.ndindex(shape):
            alone = np.zeros(shape, dtype=np.bool_)
            alone[unit] = True
            chosen = granularity.expand(alone, grid)
            expect(int(chosen.sum()) == size, f"gives unit {unit} {int(chosen.sum())} weights; each has {size}")
            covered += chosen
        expect(bool((covered == 1).all()), f"leaves out a weight of {grid}, or gives it to two units")


GRANULARITY_CHECKS: tuple[Callable[[Granularity], None], ...] = (
    is_a_frozen_value,
    tiles_a_weight_with_equal_units,
    expands_units_to_the_grid,
    gives_every_unit_as_many_weights,
)
