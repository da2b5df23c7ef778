"""Schedule `step`: the learning rate times `gamma` every `step_epochs` epochs.

    max(floor, lr gamma^(e // step_epochs)),   e = step // steps_per_epoch

The defaults halve it every 30 epochs, never below 5e-4: the recipe of the N2NSkip paper.
"""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.core.validation import above, at_least, is_count, require
from n2nsurgery.training.schedules import Span


@dataclass(frozen=True, kw_only=True)
class Step:
    """`step_epochs` from 1, `gamma` in (0, 1]; `floor`: the lowest learning rate."""

    floor: float = 5e-4
    step_epochs: int = 30
    gamma: float = 0.5

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(at_least(self.floor, 0), "schedule.floor", self.floor, "0 or more")
        require(is_count(self.step_epochs, 1), "schedule.step_epochs", self.step_epochs, "a whole number from 1")
        require(above(self.gamma, 0) and self.gamma <= 1, "schedule.gamma", self.gamma, "in (0, 1]")

    def __call__(self, lr: float, step: int, span: Span) -> float:
        """The learning rate of step `step`."""
        epoch = step // span.steps_per_epoch
        return max(self.floor, lr * self.gamma ** (epoch // self.step_epochs))


MEMBER = Step
