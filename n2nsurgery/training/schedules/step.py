"""Schedule `step`: the learning rate times `gamma` every `step_epochs` epochs.

    max(floor, lr gamma^(e // step_epochs)),   e = step // steps_per_epoch

The defaults halve it every 30 epochs, from 0.05 never below 5e-4: the recipe of the N2NSkip paper.
"""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.core.validation import above, is_count, require
from n2nsurgery.training.schedules import Span, floor_of, require_floor


@dataclass(frozen=True, kw_only=True)
class Step:
    """`step_epochs` from 1, `gamma` in (0, 1]; `floor`: the lowest learning rate, see `floor_of`."""

    floor: float | None = None
    step_epochs: int = 30
    gamma: float = 0.5

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require_floor(self.floor)
        require(is_count(self.step_epochs, 1), "schedule.step_epochs", self.step_epochs, "a whole number from 1")
        require(above(self.gamma, 0) and self.gamma <= 1, "schedule.gamma", self.gamma, "in (0, 1]")

    def __call__(self, lr: float, step: int, span: Span) -> float:
        """The learning rate of step `step`."""
        epoch = step // span.steps_per_epoch
        return max(floor_of(self.floor, lr), lr * self.gamma ** (epoch // self.step_epochs))


MEMBER = Step
