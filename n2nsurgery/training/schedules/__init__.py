"""Schedules: the learning rate as a pure function of the step; one file each.

Nothing is stored, so nothing has to be restored on a resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry
from n2nsurgery.core.validation import at_least, require


@dataclass(frozen=True, kw_only=True)
class Span:
    """The length of a run: `epochs` of `steps_per_epoch` optimizer steps; `warm_up`: how many of them warm up."""

    steps_per_epoch: int
    epochs: int
    warm_up: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.steps_per_epoch * self.epochs


class Schedule(Protocol):
    """A schedule with its parameters as fields; a frozen dataclass. The trainer multiplies the warm-up on top."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, lr: float, step: int, span: Span) -> float:
        """The learning rate of optimizer step `step` (from 0) of `span`, for the base learning rate `lr`; 0 or more."""
        ...


_FLOOR = 5e-4
SCHEDULES: Registry[type[Schedule]] = registries.SCHEDULES


def floor_of(floor: float | None, lr: float) -> float:
    """`floor`; where it is None 5e-4, as in the N2NSkip paper, or a hundredth of `lr` where that is less."""
    return min(_FLOOR, lr / 100) if floor is None else floor


def require_floor(floor: float | None) -> None:
    """Return where `floor` is None, or 0 or more; raises UsageError."""
    require(floor is None or at_least(floor, 0), "schedule.floor", floor, "0 or more")
