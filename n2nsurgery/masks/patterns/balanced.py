"""Random patterns with an exact count that serve every channel equally often."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.granularities import GranularityRule, granularity_of
from n2nsurgery.masks.grid import from_grid, grid_of
from n2nsurgery.masks.patterns.balanced_assignment import balanced_units


def balanced_mask(
    weight: PrunableWeight, count: int, generator: np.random.Generator, *, granularity: GranularityRule = "weight"
) -> Tensor:
    """A boolean tensor of the weight's shape with exactly `count` True, balanced and random otherwise.

    Counted in units of the granularity, output channels differ by at most one, and so do input channels. Where
    `count` is not a multiple of the unit's size, one random unit is kept in part. Raises BudgetError unless `count`
    lies in [0, numel], UnknownNameError for an unknown granularity.
    """
    if not 0 <= count <= weight.numel:
        raise BudgetError(f"{count:,} weights cannot be kept in '{weight.name}', which has {weight.numel:,}")
    tiling = granularity_of(granularity)
    grid = grid_of(weight)
    units = tiling.units(grid)
    size = grid.numel // units.numel
    chosen = balanced_units(units, -(-count // size), generator)
    mask = from_grid(tiling.expand(chosen, grid), weight)
    if count % size:
        partial = np.zeros(chosen.size, dtype=np.bool_)
        partial[generator.choice(np.flatnonzero(chosen))] = True
        weights = np.flatnonzero(from_grid(tiling.expand(partial.reshape(chosen.shape), grid), weight))
        mask.reshape(-1)[generator.permutation(weights)[count % size :]] = False
    return torch.from_numpy(mask)


def one_to_one(n_out: int, n_in: int, count: int, generator: np.random.Generator) -> Tensor:
    """A boolean tensor (n_out, n_in) with exactly `count` True, at most one for each target channel.

    Sources come from random permutations of the source channels, repeated where there are more targets than
    sources, so that sources are used equally often within one. Which targets are served is random where
    `count` < `n_out`. Raises BudgetError unless `count` lies in [0, n_out].
    """
    if not 0 <= count <= n_out:
        raise BudgetError(f"{count:,} one-to-one weights do not fit: there are {n_out:,} target channels, one for each")
    targets = generator.permutation(n_out)[:count]
    decks = [generator.permutation(n_in) for _ in range(-(-count // n_in))]
    mask = torch.zeros(n_out, n_in, dtype=torch.bool)
    if decks:
        mask[torch.from_numpy(targets), torch.from_numpy(np.concatenate(decks)[:count])] = True
    return mask
