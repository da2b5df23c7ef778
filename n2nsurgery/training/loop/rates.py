"""What moves the learning rate: a schedule, which is a function of the step, or a torch scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.schedule import learning_rate
from n2nsurgery.training.loop.components import Components
from n2nsurgery.training.state.scheduler_state import (
    group_state,
    load_group_state,
    load_scheduler_state,
    scheduler_state,
)

_USED = "used"  # the learning rate of the last step, which a scheduler may have moved on since


class LearningRates:
    """The learning rates of the parameter groups of `optimizer`, each starting from its own."""

    def __init__(self, optimizer: Optimizer, config: TrainConfig, components: Components, steps_per_epoch: int) -> None:
        """Raises UsageError for a factory that gives no scheduler."""
        self._optimizer = optimizer
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._interval = components.scheduler_interval
        self._base: list[float] = [float(group["lr"]) for group in optimizer.param_groups]
        self._scheduler: Any = components.scheduler(optimizer) if components.scheduler is not None else None
        self._used = self._base[0]
        self._made = group_state(optimizer)
        if self._scheduler is not None and not hasattr(self._scheduler, "step"):
            raise UsageError(
                f"the scheduler's factory gave a {type(self._scheduler).__name__}; a scheduler of "
                "torch.optim.lr_scheduler is needed, as lambda optimizer: StepLR(optimizer, 30)"
            )

    def before_step(self, step: int) -> None:
        """Set the learning rates of optimizer step `step` (from 0)."""
        if self._scheduler is None:
            for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
                group["lr"] = self._scheduled(base, step)
        self._used = float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """One step was taken."""
        if self._scheduler is not None and self._interval == "step":
            self._scheduler.step()

    def after_epoch(self, value: float | None) -> None:
        """One epoch has ended; `value`: the metric that a scheduler which waits for a plateau looks at."""
        if self._scheduler is None or self._interval == "step":
            return
        if isinstance(self._scheduler, ReduceLROnPlateau):
            if value is not None:
                self._scheduler.step(value)
        else:
            self._scheduler.step()

    def used(self, step: int) -> float:
        """The learning rate of the first group at the last step taken, `step`."""
        return self._scheduled(self._base[0], step) if self._scheduler is None else self._used

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold: where the rates are a function of the step, no rate.

        Other numbers of the parameter groups are held where they have moved; an optimizer may count or estimate there.
        """
        if self._scheduler is None:
            now = {path: value for path, value in group_state(self._optimizer).items() if not path.endswith("/lr")}
            return {path: value for path, value in now.items() if not _is_same(value, self._made.get(path))}
        used = torch.tensor(self._used, dtype=torch.float64)
        return {_USED: used, **scheduler_state(self._scheduler, self._optimizer)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave; raises InvalidFileError."""
        if self._scheduler is not None:
            self._used = float(state[_USED])
            load_scheduler_state(state, self._scheduler, self._optimizer)
        else:
            load_group_state(state, self._optimizer)

    def _scheduled(self, base: float, step: int) -> float:
        sizes = {"steps_per_epoch": self._steps_per_epoch, "epochs": self._config.epochs}
        return learning_rate(self._config.schedule, base, step, **sizes)


def _is_same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.dtype == other.dtype and torch.equal(one, other)
