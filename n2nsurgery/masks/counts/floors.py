"""Floors: weights that are kept in any case, whatever their scores.

A strict floor is a number for each layer or output channel, and a budget that cannot hold it is an error. `alive` goes
as far as the budget does: of C output channels in all layers together, min(count, C) keep a weight. Where each has one,
a signal passes every channel of every layer, by induction along the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.counts.allocation import apportion
from n2nsurgery.masks.counts.exact_topk import topk
from n2nsurgery.masks.grid import from_grid, grid_of, to_grid


@dataclass(frozen=True, kw_only=True)
class Floors:
    """Weights kept in any case: `per_layer` in each layer, `per_channel` in each output channel (0: no floor).

    A layer or channel that has fewer weights than its floor is kept in full. `alive`: one weight in each layer, and one
    in as many output channels as the budget has weights for.
    """

    per_layer: int = 0
    per_channel: int = 0
    alive: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for a negative floor."""
        for name, value in (("layer", self.per_layer), ("channel", self.per_channel)):
            if value < 0:
                raise UsageError(f"the floor per {name} is {value}; it is a number of weights and must not be negative")

    def strict(self, weight: PrunableWeight) -> int:
        """How many of the weight's entries are kept whatever the budget is."""
        grid = grid_of(weight)
        fan_in = grid.inputs * grid.taps
        per_layer = max(self.per_layer, int(self.alive))
        return max(min(per_layer, grid.numel), min(self.per_channel, fan_in) * channels_of(weight))

    def least(self, weights: Sequence[PrunableWeight], count: int) -> dict[str, int]:
        """How many entries of each of `weights` are kept in any case where `count` are kept in all, by name.

        Raises BudgetError where `count` does not lie between the strict floors and the number of weights.
        """
        strict = [self.strict(weight) for weight in weights]
        size = sum(weight.numel for weight in weights)
        if not sum(strict) <= count <= size:
            raise BudgetError(
                f"{count:,} weights cannot be kept: the floors ask for {sum(strict):,} and the layers have {size:,}"
                " in all"
            )
        if self.alive:
            channels = [channels_of(weight) for weight in weights]
            wanted = [max(floor, own) for floor, own in zip(strict, channels, strict=True)]
            strict = apportion(min(count, sum(wanted)), channels, strict, wanted)
        return {weight.name: floor for weight, floor in zip(weights, strict, strict=True)}

    def guaranteed(self, weight: PrunableWeight, scores: Tensor, least: int) -> Tensor:
        """The `least` weights kept in any case, boolean: the highest of each output channel, then of the layer.

        Where `alive` cannot serve all channels, those with the highest scores are served.
        """
        if not least:
            return torch.zeros(weight.shape, dtype=torch.bool)
        grid = grid_of(weight)
        rows = to_grid(scores.double().numpy(), weight).reshape(grid.groups * grid.outputs, -1)
        chosen = np.zeros(rows.shape, dtype=np.bool_)
        highest = np.argsort(-rows, axis=1, kind="stable")[:, : self.per_channel]
        np.put_along_axis(chosen, highest, values=True, axis=1)
        if self.alive:
            best = rows.max(axis=1)
            served = np.argsort(-best, kind="stable")[:least]
            served = served[best[served] > -np.inf]  # what was pruned in an earlier round stays pruned
            chosen[served, rows[served].argmax(axis=1)] = True
        return topk(scores, least, keep=torch.from_numpy(from_grid(chosen.reshape(grid.shape), weight)))


NO_FLOORS = Floors()


def channels_of(weight: PrunableWeight) -> int:
    """The number of output channels of a weight, all groups together."""
    grid = grid_of(weight)
    return grid.groups * grid.outputs
