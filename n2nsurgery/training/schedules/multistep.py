"""Schedule `multistep`: the learning rate times `gamma` at each milestone.

    max(floor, lr gamma^n)

with n the number of milestones <= step // steps_per_epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from n2nsurgery.core.validation import above, is_count, require
from n2nsurgery.training.schedules import Span, floor_of, require_floor


@dataclass(frozen=True, kw_only=True)
class MultiStep:
    """`milestones`: rising epochs from 1. `gamma` in (0, 1]. `floor`: the lowest learning rate, see `floor_of`."""

    milestones: tuple[int, ...]
    floor: float | None = None
    gamma: float = 0.5

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        each = bool(self.milestones) and all(is_count(milestone, 1) for milestone in self.milestones)
        rising = each and all(a < b for a, b in pairwise(self.milestones))
        require(rising, "schedule.milestones", self.milestones, "rising epochs from 1, at least one")
        require_floor(self.floor)
        require(above(self.gamma, 0) and self.gamma <= 1, "schedule.gamma", self.gamma, "in (0, 1]")

    def __call__(self, lr: float, step: int, span: Span) -> float:
        """The learning rate of step `step`."""
        epoch = step // span.steps_per_epoch
        passed = sum(milestone <= epoch for milestone in self.milestones)
        return max(floor_of(self.floor, lr), lr * self.gamma**passed)


MEMBER = MultiStep
