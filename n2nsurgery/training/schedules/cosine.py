"""Schedule `cosine`: half a cosine from the base learning rate down to `floor`.

    floor + (lr - floor) (1 + cos(pi (step - W) / (T - W))) / 2

with W warm-up steps and T steps in all; `lr` itself during warm-up.
Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5, one cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from n2nsurgery.training.schedules import Span, floor_of, require_floor


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """`floor`: the learning rate at the end, 0 or more; see `floor_of`."""

    floor: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a floor out of range."""
        require_floor(self.floor)

    def __call__(self, lr: float, step: int, span: Span) -> float:
        """The learning rate of step `step`."""
        length = max(1, span.steps - span.warm_up)
        turn = min(1.0, max(0, step - span.warm_up) / length)
        floor = floor_of(self.floor, lr)
        return floor + (lr - floor) * (1 + math.cos(math.pi * turn)) / 2


MEMBER = Cosine
