"""The keyword arguments of training for editors and type checkers: the fields of TrainConfig as a TypedDict.

A test compares the two. `loss`, `metrics` and `optimizer` stand beside them, since Python takes objects there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from n2nsurgery.training.config.config import Amp, EngineName
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.config.task import TaskName


class TrainOptions(TypedDict, total=False):
    """Fields of TrainConfig but loss, metrics and optimizer; any sequence for a list, a name for a member."""

    task: TaskName
    loss_options: Mapping[str, Any]
    best_metric: str | None
    patience: int | None
    freeze: Sequence[str]
    distillation: DistillationConfig | None
    dynamics: DynamicsConfig | str | None
    skip_fade: FadingConfig | None
    log_every: int | None
    epochs: int
    batch_size: int
    accumulate: int
    schedule: ScheduleConfig | str
    label_smoothing: float
    clip_norm: float | None
    ema_decay: float | None
    amp: Amp
    channels_last: bool
    compile: bool
    gradient_checkpointing: bool
    checkpointed_modules: Sequence[str]
    deterministic: bool
    device: str
    sync_batch_norm: bool
    checkpoint_steps: int | None
    keep_last: int
    keep_best: int
    evaluate_every: int
    tensorboard: bool
    distributed_timeout: float
    find_unused_parameters: bool
    engine: EngineName
    measure_engine: bool
    seed: int
