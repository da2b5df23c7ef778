"""Components: the parts of a run that are objects, whether a config names them or a caller brings them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output, samples_in
from n2nsurgery.core.validation import require, require_choice
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.member import made
from n2nsurgery.training.config.parameter_groups import make_optimizer, require_trained
from n2nsurgery.training.config.task import TASKS, TaskName
from n2nsurgery.training.loop.distillation import Scores, Teacher
from n2nsurgery.training.losses import LOSSES, Loss
from n2nsurgery.training.metrics.measure import FunctionMetric, Measure
from n2nsurgery.training.optimizers import OPTIMIZERS
from n2nsurgery.training.training_metrics import TRAINING_METRICS, TrainingMetric

LossFunction = Callable[[Any, Any], Tensor]
"""What a model returns, and the targets -> the mean loss over the samples of the batch, one number."""

_SCORES: Mapping[TaskName, Scores] = {
    "classification": "classes", "segmentation": "classes", "multilabel": "labels", "regression": "values",
}  # fmt: skip
_IGNORED = "ignore_index"  # the option of losses and metrics that names the label that does not count

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
"""The trainable parameters -> an optimizer of torch.optim, or one made like those."""

SchedulerFactory = Callable[[Optimizer], LRScheduler]
"""The optimizer -> a scheduler of torch.optim.lr_scheduler."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """`loss` is trained with; `evaluation_loss` is reported; `measure`: the metrics.

    `weight`: inputs and targets of a batch -> how much its mean loss counts beside those of others, float64: its
    samples, or what is left of them where labels do not count.
    `optimizer`: module -> its optimizer. `mixes`: whether that optimizer may move zeros, so that weights have to be
    masked after each of its steps. `scheduler`: None where the config's schedule gives the learning rate; it is stepped
    after every epoch or every step.
    """

    loss: LossFunction
    evaluation_loss: LossFunction
    measure: Measure
    optimizer: Callable[[nn.Module], Optimizer]
    weight: Callable[[Any, Any], Tensor]
    mixes: bool = False
    scheduler: SchedulerFactory | None = None
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    teacher: Teacher | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnParts:
    """What a caller brings in place of what a config names; None for the config's.

    `scheduler` takes the place of the config's schedule; it is stepped after every `scheduler_interval`.
    """

    loss: LossFunction | None = None
    measure: Measure | None = None
    optimizer: OptimizerFactory | None = None
    scheduler: SchedulerFactory | None = None
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    teacher: nn.Module | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a part that is not what is called or asked in training."""
        require_function("loss", self.loss, "(outputs, targets)")
        if not isinstance(self.optimizer, Optimizer):  # it has a message of its own
            require_function("optimizer", self.optimizer, "the parameters")
        require_function("scheduler", self.scheduler, "the optimizer")
        require_choice("scheduler_interval", self.scheduler_interval, ("epoch", "step"))
        taught = isinstance(self.teacher, nn.Module | None)
        require(taught, "teacher", self.teacher, "a module or a pruned model, or left out")


def require_function(name: str, value: object, arguments: str) -> None:
    """Return where `value` is None or can be called; raises UsageError with what it is a function of."""
    require(value is None or callable(value), name, value, f"a function of {arguments}, or left out")


NOTHING = OwnParts()


def components_of(config: TrainConfig, own: OwnParts = NOTHING) -> Components:
    """The objects that `config` names, and in their place those that are a caller's `own`.

    Raises UnknownNameError for a loss or metric that there is not, UsageError where a teacher is needed, and for
    options of a loss beside a loss that is a caller's own.
    """
    factory = own.optimizer
    if own.loss is not None:
        _require_no_loss_options(config)
    reported = own.loss if own.loss is not None else _named_loss(config, training=False)
    return Components(
        loss=own.loss if own.loss is not None else _named_loss(config, training=True),
        evaluation_loss=reported,
        weight=_weight(reported),
        measure=own.measure if own.measure is not None else measure_of(config),
        optimizer=(lambda module: make_optimizer(module, config.optimizer))
        if factory is None
        else (lambda module: _made(factory, module)),
        mixes=factory is not None or OPTIMIZERS.is_foreign(config.optimizer.name),
        scheduler=own.scheduler,
        scheduler_interval=own.scheduler_interval,
        teacher=_teacher(config, own),
    )


def measure_of(config: TrainConfig) -> Measure:
    """The metrics that `config` names, those of its task where it names none; raises UnknownNameError.

    The default task gives way to the one that a named loss is of: with bce-with-logits, several labels are measured.
    The label that the loss leaves out is left out by the metrics, too.
    """
    task = TASKS[_task_of_loss(config) if config.task == TrainConfig.task else config.task]
    names = task.metrics if config.metrics is None else config.metrics
    ignored = {key: value for key, value in config.loss_options.items() if key == _IGNORED}
    metrics: dict[str, TrainingMetric | FunctionMetric] = {}
    for name in map(TRAINING_METRICS.canonical, names):
        member: Any = TRAINING_METRICS.get(name)
        leaves_out = is_dataclass(member) and any(each.name == _IGNORED for each in fields(member))
        metrics[name] = member(**{**task.options.get(name, {}), **(ignored if leaves_out else {})})
    return Measure(metrics=metrics)


def _task_of_loss(config: TrainConfig) -> TaskName:
    """The task that the named loss is the usual one of; the config's own where that is so, and where there is none."""
    named = LOSSES.canonical(config.loss) if config.loss is not None else None
    if named is None or named == TASKS[config.task].loss:
        return config.task
    return next((task for task, usual in TASKS.items() if usual.loss == named), config.task)


def _teacher(config: TrainConfig, own: OwnParts) -> Teacher | None:
    """The teacher, where there is one; raises UsageError where it is asked for and was not passed."""
    asked = config.distillation
    if own.teacher is not None:
        kind = _SCORES[config.task if own.loss is not None else _task_of_loss(config)]
        return Teacher(own.teacher, asked or DistillationConfig(), kind)
    if asked is None:
        return None
    if asked.teacher is None:
        raise UsageError("distillation needs a teacher: pass a network as teacher, or name one in a recipe")
    raise UsageError(
        f"distillation.teacher is '{asked.teacher}', and only a recipe finds networks by name: pass the network "
        "itself, as n2nsurgery.train(..., teacher=network), and leave the name out"
    )


@dataclass(frozen=True)
class _OnPrimaryOutput:
    loss: Loss

    def __call__(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
        return self.loss(primary_output(outputs), targets)

    @property
    def counted(self) -> Callable[[Tensor], Tensor] | None:
        return getattr(self.loss, "counted", None)


def _named_loss(config: TrainConfig, *, training: bool) -> LossFunction:
    """The loss that `config` names, or that of its task, on the primary output; labels are smoothed in training."""
    task = TASKS[config.task]
    name = LOSSES.canonical(config.loss if config.loss is not None else task.loss)
    options = dict(task.options.get(name, {}))
    if training and config.label_smoothing:
        options["label_smoothing"] = config.label_smoothing
    return _OnPrimaryOutput(made(LOSSES, name, {**options, **config.loss_options}, "loss_options"))


def _weight(loss: LossFunction) -> Callable[[Any, Any], Tensor]:
    """How much a batch counts: its samples, times the part of its labels that the mean of `loss` is over."""
    counted = getattr(loss, "counted", None)

    def weight(inputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
        samples = torch.tensor(samples_in(inputs), dtype=torch.float64)
        return samples if counted is None or not isinstance(targets, Tensor) else samples * counted(targets)

    return weight


def _require_no_loss_options(config: TrainConfig) -> None:
    """Return where no option of a loss by name is given; raises UsageError."""
    allowed = "left out with a loss of your own, which is a function of (outputs, targets) alone"
    require(not config.label_smoothing, "label_smoothing", config.label_smoothing, allowed)
    require(not config.loss_options, "loss_options", dict(config.loss_options), allowed)


def _made(factory: OptimizerFactory, module: nn.Module) -> Optimizer:
    """The optimizer of a caller's factory; raises UsageError where it makes none, or one of other parameters."""
    if isinstance(factory, Optimizer):
        raise UsageError(
            "an optimizer was given; give what makes one from parameters, as lambda parameters: "
            f"torch.optim.{type(factory).__name__}(parameters, lr=0.1), since the parameters may be other objects now"
        )
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    require_trained(parameters)
    made = factory(parameters)
    if not isinstance(made, Optimizer):
        raise UsageError(f"the optimizer's factory gave a {type(made).__name__}; an optimizer of torch.optim is needed")
    own = {id(parameter) for group in made.param_groups for parameter in group["params"]}
    if not own <= {id(parameter) for parameter in parameters}:
        raise UsageError(f"{type(made).__name__} holds parameters that it was not given: make it of those that it gets")
    return made
