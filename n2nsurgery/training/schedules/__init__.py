"""Schedules: the learning rate as a pure function of the step; one file each.

Nothing is stored, so nothing has to be restored on a resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry


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


SCHEDULES: Registry[type[Schedule]] = registries.SCHEDULES
