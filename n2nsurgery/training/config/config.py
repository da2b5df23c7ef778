"""TrainConfig: what was asked of a training run. The defaults are the one recipe of the N2NSkip paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from n2nsurgery.core.config.devices import ALLOWED, is_device_name
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import above, is_count, require, require_choice, within
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.config.task import TASKS, TaskName

Amp = Literal["off", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    `batch_size`: samples of one optimizer step, over all processes and all `accumulate` forward passes. `clip_norm`:
    largest norm of the kept weights' gradient, None for no clipping. `ema_decay`: of the averaged weights, which are
    then those that are evaluated; None for none. `amp`: autocast to bf16, or to fp16 with a gradient scaler.
    `deterministic`: refuse operations that have no deterministic form. `device`: auto, cpu, cuda or cuda:N.
    `sync_batch_norm`: one batch statistic over all processes (CUDA). `checkpoint_steps`: a checkpoint every so many
    steps, besides that of every epoch. `keep_last`, `keep_best`: how many checkpoints stay, by age and by validation
    accuracy. `evaluate_every`: epochs; the last one is always evaluated. `distributed_timeout`: seconds after which one
    of several processes that does not answer is given up. `find_unused_parameters`: with several processes, look in
    every step for parameters that got no gradient. `seed`: of everything that is drawn.

    `task` says which loss and which metrics are taken where `loss` and `metrics` name none; `loss_options` are those of
    the loss, by name. `best_metric`: the metric of the validation split by which checkpoints are ranked, or "loss";
    None for the first of the task. `patience`: evaluations without a better one after which training stops; None for no
    early stop. `freeze`: patterns of parameters and modules that are not trained; a BatchNorm all of whose parameters
    are frozen keeps its statistics. `distillation`: learn from a teacher, too. `log_every`: steps between two lines of
    the log; None for epochs alone.
    """

    task: TaskName = "classification"
    loss: str | None = None
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    best_metric: str | None = None
    patience: int | None = None
    freeze: tuple[str, ...] = ()
    distillation: DistillationConfig | None = None
    log_every: int | None = None

    epochs: int = 300
    batch_size: int = 128
    accumulate: int = 1
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    amp: Amp = "off"
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False
    device: str = "auto"
    sync_batch_norm: bool = False
    checkpoint_steps: int | None = None
    keep_last: int = 2
    keep_best: int = 1
    evaluate_every: int = 1
    tensorboard: bool = False
    distributed_timeout: float = 1800.0
    find_unused_parameters: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        for name in ("epochs", "batch_size", "accumulate", "keep_last", "keep_best", "evaluate_every"):
            require(is_count(getattr(self, name), 1), name, getattr(self, name), "a whole number from 1")
        for name in (
            "channels_last",
            "compile",
            "deterministic",
            "sync_batch_norm",
            "tensorboard",
            "find_unused_parameters",
        ):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        require(is_count(self.seed, 0), "seed", self.seed, "a whole number from 0")
        require(within(self.label_smoothing, 0, 1), "label_smoothing", self.label_smoothing, "in [0, 1)")
        require(self.clip_norm is None or above(self.clip_norm, 0), "clip_norm", self.clip_norm, "above 0, or left out")
        average = self.ema_decay is None or within(self.ema_decay, 0, 1)
        require(average, "ema_decay", self.ema_decay, "in [0, 1), or left out")
        require_choice("amp", self.amp, get_args(Amp))
        require(is_device_name(self.device), "device", self.device, ALLOWED)
        for name in ("checkpoint_steps", "patience", "log_every"):
            value = getattr(self, name)
            require(value is None or is_count(value, 1), name, value, "a whole number from 1, or left out")
        require_choice("task", self.task, get_args(TaskName))
        smoothed = not self.label_smoothing or (self.loss or TASKS[self.task].loss) == "cross-entropy"
        require(smoothed, "label_smoothing", self.label_smoothing, "0 for a loss that is no cross-entropy")
        timeout = self.distributed_timeout
        require(above(timeout, 0), "distributed_timeout", timeout, "a number of seconds above 0")
        lr = self.optimizer.lr
        require(self.schedule.floor <= lr, "schedule.floor", self.schedule.floor, f"at most optimizer.lr, {lr}")
        shorter = self.schedule.warm_up_epochs < self.epochs
        require(shorter, "schedule.warm_up_epochs", self.schedule.warm_up_epochs, f"below the {self.epochs} epochs")

    def local_batch(self, processes: int = 1) -> int:
        """Samples of one forward pass of one of `processes`; raises UsageError where they do not come out even."""
        parts = processes * self.accumulate
        if self.batch_size % parts:
            raise UsageError(
                f"batch_size is {self.batch_size}; it must be a multiple of {parts}: "
                f"{processes} processes times accumulate {self.accumulate}"
            )
        return self.batch_size // parts
