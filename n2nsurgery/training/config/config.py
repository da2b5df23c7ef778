"""TrainConfig: what was asked of a training run. The defaults are the one recipe of the N2NSkip paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from n2nsurgery.core.config.devices import ALLOWED, is_device_name
from n2nsurgery.core.config.options import COUNT, Range, check_options, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require
from n2nsurgery.registries import LOSSES
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.config.task import TASKS, TaskName

Amp = Literal["off", "bf16", "fp16"]
EngineName = Literal["auto", "dense", "sparse"]
MEMBERS: Mapping[str, type[OptimizerConfig | ScheduleConfig | DynamicsConfig]] = MappingProxyType(
    {"optimizer": OptimizerConfig, "schedule": ScheduleConfig, "dynamics": DynamicsConfig}
)
"""Fields with a member's name and options; where there are no options, the name may stand alone."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    `batch_size`: samples of one optimizer step, over all processes and all `accumulate` forward passes. `clip_norm`:
    largest norm of the kept weights' gradient, None for no clipping. `ema_decay`: of the averaged weights, which are
    then those that are evaluated; None for none. `amp`: autocast to bf16, or to fp16 with a gradient scaler.
    `gradient_checkpointing`: keep the inputs of each block, and compute the rest again in the backward pass; slower,
    with less memory. `checkpointed_modules`: patterns of the modules that are blocks; none for the elements of a
    Sequential, ModuleList or ModuleDict that hold several layers. `deterministic`: refuse operations that have no
    deterministic form. `device`: auto, cpu, cuda or cuda:N. `sync_batch_norm`: one batch statistic over all processes
    (CUDA). `checkpoint_steps`: a checkpoint every so many steps, besides that of every epoch. `keep_last`, `keep_best`:
    how many checkpoints stay, by age and by `best_metric`. `evaluate_every`: epochs; the last one is always
    evaluated. `distributed_timeout`: seconds after which one of several processes that does not answer is given up.
    `find_unused_parameters`: with several processes, look in every step for parameters that got no gradient. `seed`: of
    everything that is drawn.

    `task` says which loss and which metrics are taken where `loss` and `metrics` name none; `loss_options` are those of
    the loss, by name. `best_metric`: the metric of the validation split by which checkpoints are ranked, or "loss";
    None for the first of the task. `patience`: evaluations without a better one after which training stops; None for no
    early stop. `freeze`: patterns of parameters and modules that are not trained; a BatchNorm all of whose parameters
    are frozen keeps its statistics. `distillation`: learn from a teacher, too. `dynamics`: which weights are kept
    changes in training; None where the masks stay. `skip_fade`: skips lose their strength, and the trained network has
    none. `log_every`: steps between two lines of the log; None for epochs alone.
    """

    task: TaskName = field(
        default="classification",
        metadata=option("the kind of problem; says which loss and metrics are taken where none are named"),
    )
    loss: str | None = field(
        default=None, metadata=option("the loss by name; default: that of the task", registry=LOSSES)
    )
    loss_options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("options of the loss, by name")
    )
    metrics: tuple[str, ...] | None = field(
        default=None, metadata=option("metrics by name; default: those of the task")
    )
    best_metric: str | None = field(
        default=None,
        metadata=option(
            "what checkpoints are ranked by, on validation: a metric, or loss; default: the task's first metric"
        ),
    )
    patience: int | None = field(
        default=None,
        metadata=option(
            "evaluations without a better one after which training stops; default: no early stop", within=COUNT
        ),
    )
    freeze: tuple[str, ...] = field(
        default=(), metadata=option("patterns of parameters and modules that are not trained")
    )
    distillation: DistillationConfig | None = field(default=None, metadata=option("learn from a teacher, too"))
    dynamics: DynamicsConfig | None = field(
        default=None, metadata=option("change in training which weights are kept; default: the masks stay")
    )
    skip_fade: FadingConfig | None = field(
        default=None, metadata=option("let skips fade, so that the trained network has none; default: they stay")
    )
    log_every: int | None = field(
        default=None, metadata=option("steps between two lines of the log; default: epochs alone", within=COUNT)
    )

    epochs: int = field(default=300, metadata=option("passes over the training data", within=COUNT))
    batch_size: int = field(
        default=128, metadata=option("samples of one optimizer step, over all processes", within=COUNT)
    )
    accumulate: int = field(default=1, metadata=option("forward passes of one optimizer step", within=COUNT))
    optimizer: OptimizerConfig = field(
        default_factory=OptimizerConfig, metadata=option("the optimizer and its hyper-parameters")
    )
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig, metadata=option("how the learning rate goes down"))
    label_smoothing: float = field(
        default=0.0,
        metadata=option("share of the target that is spread over all classes", within=Range(least=0, below=1)),
    )
    clip_norm: float | None = field(
        default=None,
        metadata=option("largest norm of the kept weights' gradient; default: no clipping", within=Range(above=0)),
    )
    ema_decay: float | None = field(
        default=None,
        metadata=option(
            "decay of averaged weights, which are then evaluated; default: none", within=Range(least=0, below=1)
        ),
    )
    amp: Amp = field(default="off", metadata=option("autocast to bf16, or to fp16 with a gradient scaler"))
    channels_last: bool = field(default=False, metadata=option("keep images in channels-last order"))
    compile: bool = field(default=False, metadata=option("compile the model with torch.compile"))
    gradient_checkpointing: bool = field(
        default=False, metadata=option("compute each block again in the backward pass instead of keeping its inside")
    )
    checkpointed_modules: tuple[str, ...] = field(
        default=(), metadata=option("patterns of the modules that are blocks; default: elements of lists of modules")
    )
    deterministic: bool = field(default=False, metadata=option("refuse operations that have no deterministic form"))
    device: str = field(default="auto", metadata=option("where tensors are computed", metavar="auto|cpu|cuda:N"))
    sync_batch_norm: bool = field(default=False, metadata=option("one batch statistic over all processes (CUDA)"))
    checkpoint_steps: int | None = field(
        default=None, metadata=option("steps between two checkpoints, besides that of every epoch", within=COUNT)
    )
    keep_last: int = field(default=2, metadata=option("how many of the newest checkpoints stay", within=COUNT))
    keep_best: int = field(default=1, metadata=option("how many of the best checkpoints stay", within=COUNT))
    evaluate_every: int = field(
        default=1, metadata=option("epochs between two evaluations; the last epoch is always evaluated", within=COUNT)
    )
    tensorboard: bool = field(default=False, metadata=option("write metrics for TensorBoard, too"))
    distributed_timeout: float = field(
        default=1800.0,
        metadata=option(
            "seconds after which a process of several that does not answer is given up", within=Range(above=0)
        ),
    )
    find_unused_parameters: bool = field(
        default=False, metadata=option("with several processes, look in every step for parameters without a gradient")
    )
    engine: EngineName = field(
        default="auto",
        metadata=option("compute kept weights alone (sparse, CPU), all (dense), or what is predicted to be faster"),
    )
    measure_engine: bool = field(
        default=False, metadata=option("time both engines for each pruned layer in place of predicting them")
    )
    seed: int = field(default=0, metadata=option("every random draw derives from it", within=Range(least=0)))

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        check_options(self)
        require(not self.compile or self.engine != "sparse", "compile", self.compile, "false with engine sparse")
        require(not (self.compile and self.skip_fade), "skip_fade", self.skip_fade, "left out with compile")
        require(is_device_name(self.device), "device", self.device, ALLOWED)
        smoothed = not self.label_smoothing or (self.loss or TASKS[self.task].loss) == "cross-entropy"
        require(smoothed, "label_smoothing", self.label_smoothing, "0 for a loss other than cross-entropy")
        floor, lr = self.settled_schedule.floor or 0.0, self.optimizer.lr or 0.0
        require(floor <= lr, "schedule.floor", self.schedule.floor, f"at most optimizer.lr, {lr}")
        shorter = self.schedule.warm_up_epochs < self.epochs
        require(shorter, "schedule.warm_up_epochs", self.schedule.warm_up_epochs, f"below the {self.epochs} epochs")

        alone = not (self.compile and self.gradient_checkpointing)
        require(alone, "gradient_checkpointing", True, "left out with compile, which decides itself what is kept")
        named = self.gradient_checkpointing or not self.checkpointed_modules
        require(named, "checkpointed_modules", self.checkpointed_modules, "left out without gradient_checkpointing")

    @property
    def settled_schedule(self) -> ScheduleConfig:
        """The schedule with the floor that it has for `optimizer.lr`, as a number."""
        return self.schedule.settled(self.optimizer.lr or 0.0)

    def local_batch(self, processes: int = 1) -> int:
        """Samples of one forward pass of one of `processes`; raises UsageError where they do not come out even."""
        parts = processes * self.accumulate
        if self.batch_size % parts:
            raise UsageError(
                f"batch_size is {self.batch_size}; it must be a multiple of {parts}: "
                f"{processes} processes times accumulate {self.accumulate}"
            )
        return self.batch_size // parts
