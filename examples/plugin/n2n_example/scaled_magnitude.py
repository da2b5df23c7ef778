"""Criterion `scaled-magnitude`: large weights survive, measured against the fan-in of their layer.

    score_j = |w_j| n^power,   n = inputs of a neuron times the taps of its kernel

The usual initializations have a standard deviation of about n^-1/2: with `power` 1/2 layers compete as equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.grid import grid_of
from n2nsurgery.masks.scoring.context import ScoreContext, weight_values


@dataclass(frozen=True, kw_only=True)
class ScaledMagnitude:
    """`power` of the fan-in, a finite number; 0 is the plain magnitude."""

    power: float = 0.5

    needs: ClassVar[Needs] = "weights"
    scope: ClassVar[str] = "global"
    rounds: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UsageError for a power that is not finite."""
        if not isfinite(self.power):
            raise UsageError(f"power is {self.power}; it must be a finite number")

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """The scaled absolute values of the weights."""
        grids = {weight.name: grid_of(weight) for weight in context.weights}
        fans = {name: grid.inputs * grid.taps for name, grid in grids.items()}
        return {name: value.abs() * fans[name] ** self.power for name, value in weight_values(context).items()}
