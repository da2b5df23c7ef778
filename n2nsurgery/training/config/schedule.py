"""The learning rate of every step of a run: a schedule (see `training.schedules`), and a warm-up in front of it.

With W warm-up steps the learning rate of step < W is multiplied by f + (1 - f) step / W, f = `warm_up_from`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from n2nsurgery.core.config.options import COUNT, Range, check_options, option
from n2nsurgery.core.validation import is_count, require, require_choice
from n2nsurgery.training.config.member import made
from n2nsurgery.training.schedules import SCHEDULES, Span, floor_of

# which of the fields of a config are for which schedule
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "step": ("floor", "step_epochs", "gamma"),
    "multistep": ("floor", "milestones", "gamma"),
    "cosine": ("floor",),
}


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate goes down; the defaults halve it every 30 epochs.

    `name`: any registered schedule; `options`: parameters of one that has no fields here, by name.
    `floor`: a learning rate; None for 5e-4, or a hundredth of the first one where that is less. `step_epochs`, `gamma`:
    of `step`; `milestones` (epochs), `gamma`: of `multistep`. `warm_up_epochs` may be a fraction; `warm_up_from`: the
    first step's part of the learning rate.
    """

    name: str = field(default="step", metadata=option("any registered schedule", registry=SCHEDULES))
    floor: float | None = field(
        default=None,
        metadata=option(
            "a learning rate, below which it does not go; default: 5e-4, at most optimizer.lr / 100",
            within=Range(least=0),
        ),
    )
    step_epochs: int = field(default=30, metadata=option("of step: epochs between two reductions", within=COUNT))
    gamma: float = field(
        default=0.5, metadata=option("of step and multistep: factor of a reduction", within=Range(above=0, most=1))
    )
    milestones: tuple[int, ...] = field(
        default=(), metadata=option("of multistep: the epochs of its reductions", within=COUNT)
    )
    warm_up_epochs: float = field(
        default=0.0,
        metadata=option("epochs of rising learning rate at the start; may be a fraction", within=Range(least=0)),
    )
    warm_up_from: float = field(
        default=0.01, metadata=option("the first step's part of the learning rate", within=Range(least=0, below=1))
    )
    options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("parameters of any other schedule, by name")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        require_choice("schedule.name", self.name, SCHEDULES.names())
        rising = all(is_count(m, 1) for m in self.milestones) and all(a < b for a, b in pairwise(self.milestones))
        require(rising, "schedule.milestones", self.milestones, "rising epochs from 1")
        given = bool(self.milestones) == (self.name == "multistep")
        require(given, "schedule.milestones", self.milestones, "given for multistep, and for no other schedule")
        check_options(self, "schedule")

    def settled(self, lr: float) -> ScheduleConfig:
        """The same with the floor that it has for the base learning rate `lr`; one that is given stays."""
        return replace(self, floor=floor_of(self.floor, lr))


def learning_rate(config: ScheduleConfig, lr: float, step: int, *, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of optimizer step `step` (from 0) of `epochs` epochs, for the base learning rate `lr`."""
    span = Span(steps_per_epoch=steps_per_epoch, epochs=epochs, warm_up=round(config.warm_up_epochs * steps_per_epoch))
    own = {name: getattr(config, name) for name in _FIELDS.get(config.name, ())}
    scheduled = made(SCHEDULES, config.name, {**own, **config.options}, "schedule.options")(lr, step, span)
    if step >= span.warm_up:
        return scheduled
    return scheduled * (config.warm_up_from + (1 - config.warm_up_from) * step / span.warm_up)
