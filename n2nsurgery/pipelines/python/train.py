"""n2nsurgery.train: training from Python, of a recipe or of a caller's own model on a caller's own data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack, cast

from torch import nn

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.processes.folder_lock import locked_folder
from n2nsurgery.core.validation import require
from n2nsurgery.data.torch_data.dataset_batches import length_of
from n2nsurgery.data.torch_data.sources import BatchOptions, batches_of, is_exact
from n2nsurgery.pipelines.python.beginning import begin, require_admission
from n2nsurgery.pipelines.python.parts import Metrics, measure_of_caller, require_unused
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.pipelines.training.train import run as run_recipe
from n2nsurgery.pipelines.training.train_request import AUTO, TrainRequest
from n2nsurgery.pipelines.training.training_text import epoch_line, step_line
from n2nsurgery.recipe.shipped import recipe_file
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.config.config import MEMBERS, TrainConfig
from n2nsurgery.training.config.keywords import TrainOptions
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.distributed.collectives import on_rank_zero
from n2nsurgery.training.distributed.distributed import joined
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import (
    LossFunction,
    OptimizerFactory,
    OwnParts,
    SchedulerFactory,
    components_of,
)
from n2nsurgery.training.loop.events import Callbacks, EngineEvent
from n2nsurgery.training.loop.freezing import given_back
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.metrics.measure import Measure
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress
from n2nsurgery.training.state.outcome import TrainOutcome

_LOG = logging.getLogger("n2nsurgery.train")
_RECIPES = (".yaml", ".yml")


@keywords_of(TrainConfig, TrainOptions)
def train(  # noqa: PLR0913 - each is a thing that a run may have of a caller's own
    model: PrunedModel | nn.Module | str | Path,
    data: Any = None,  # noqa: ANN401 - a dataset, a DataLoader, an iterable
    *,
    folder: str | Path | None = None,
    validation: Any = None,  # noqa: ANN401
    test: Any = None,  # noqa: ANN401
    loss: LossFunction | str | None = None,
    metrics: Metrics | Sequence[str] | None = None,
    optimizer: OptimizerFactory | OptimizerConfig | str | None = None,
    scheduler: SchedulerFactory | None = None,
    scheduler_interval: Literal["epoch", "step"] = "epoch",
    callbacks: Callbacks | None = None,
    teacher: PrunedModel | nn.Module | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
    workers: int = 0,
    batches_per_epoch: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    allow_import: bool = False,
    download: bool = False,
    data_root: str | Path | None = None,
    **options: Unpack[TrainOptions],
) -> TrainOutcome:
    """Train `model` in place on `data`, or carry out the recipe `model`, a file or `recipe:NAME`; what came of it.

    `folder` gets checkpoints, metrics.jsonl and metrics.csv; that of a pruned model is a run, which `load` reads.
    Pruned weights stay at exactly zero under any optimizer. `options` are the fields of `TrainConfig`: epochs,
    batch_size, task, amp, patience, ...; of a recipe they replace what the file says. `schedule="step"` stands for
    `ScheduleConfig(name="step")`, and so for `dynamics`. `allow_import` (run code that it names), `download` and
    `data_root` are for a recipe, as at the command line.

    `data`, `validation`, `test`: a map-style `torch.utils.data.Dataset` of (inputs, targets), which is shuffled here;
    or a DataLoader or another iterable of such batches, `batches_per_epoch` of them where it has no length. Inputs are
    a tensor, a tuple (by position) or a dict (by name). Checkpoints are ranked by `validation`. `collate`, `workers`:
    as DataLoader's `collate_fn` and `num_workers`.

    `loss`: a function of what the model returns and the targets, the mean over the samples; or a registered name.
    `metrics`: functions of the same two by name, or objects as in `training.training_metrics`; or registered names. The
    first ranks checkpoints where it says whether higher is better, as `FunctionMetric` does, else the loss does. With a
    loss of your own and no metrics, the loss alone is measured. `optimizer`: makes an optimizer from parameters,
    or is an OptimizerConfig or its name. `scheduler` makes a scheduler from the optimizer. `teacher`: a network whose
    scores are learned from, see `DistillationConfig`. `callbacks`: see `training.loop.events`.

    `resume` goes on from the newest checkpoint, on the CPU to the bit where the data is a map-style dataset whose items
    depend on nothing but their index and the global random generators (`data.torch_data.require_repeatable` finds out).
    `overwrite` trains anew in place of the run that `folder` holds; other files there stay. Raises UsageError for what
    does not fit, a source that cannot be resumed and a folder that is a run already among it; and the errors of
    `run_training`.

        n2nsurgery.train(pruned, dataset, folder="runs/mine", loss=focal, epochs=10,
                         optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))
    """
    require_known(options, TrainOptions, "train")
    wanted = _wanted(options, loss, metrics, optimizer)
    own = OwnParts(
        loss=None if isinstance(loss, str) else loss, measure=_measure(loss, metrics, options),
        optimizer=None if isinstance(optimizer, OptimizerConfig | str) else optimizer, scheduler=scheduler,
        scheduler_interval=scheduler_interval, teacher=_module(teacher) if teacher is not None else None,
    )  # fmt: skip
    callbacks = callbacks if callbacks is not None else Callbacks()
    if not isinstance(callbacks, Callbacks):
        raise UsageError(f"callbacks is a {type(callbacks).__name__}; give n2nsurgery.Callbacks(on_epoch=function)")
    if isinstance(model, str | Path):
        file = recipe_file(model)
        _require_recipe(file, data)
        require_unused("a recipe says what its data is and how it is read", validation=validation, test=test,
                       collate=collate, workers=workers, batches_per_epoch=batches_per_epoch)  # fmt: skip
        request = _request(file, folder, wanted, resume=resume, overwrite=overwrite, allow_import=allow_import,
                           download=download, data_root=data_root)  # fmt: skip
        return _train_recipe(request, own, callbacks)
    require_unused("only a recipe names code and data", allow_import=allow_import, download=download,
                   data_root=data_root)  # fmt: skip
    if data is None or folder is None:
        raise UsageError("training a model needs `data`, a dataset or batches, and `folder`, where its run is written")
    config = _config(wanted, own)
    with joined(config.device, timeout=config.distributed_timeout) as processes, ExitStack() as held:
        held.enter_context(given_back(own.teacher))
        on_rank_zero(processes, lambda: held.enter_context(locked_folder(Path(folder))))
        made = BatchOptions(
            batch_size=config.batch_size // config.accumulate, seed=config.seed, rank=processes.rank,
            world_size=processes.size, collate=collate, workers=workers,
            pin_memory=processes.device.type == "cuda", batches_per_epoch=batches_per_epoch,
        )  # fmt: skip
        config.local_batch(processes.size)
        fed = _data(data, {"validation": validation, "test": test}, made, resume=resume)
        on_rank_zero(processes, lambda: require_admission(Path(folder), model, resume=resume, overwrite=overwrite))
        return run_training(
            _module(model), fed, config, folder=Path(folder), components=components_of(config, own),
            callbacks=_told(callbacks, config), processes=processes, resume=resume, overwrite=overwrite,
            begin=partial(begin, Path(folder), model, overwrite=overwrite), run_id=_run_id(data, own),
            twins=sparse_twin, branches=_branches(model),
        )  # fmt: skip


def _module(model: PrunedModel | nn.Module) -> nn.Module:
    return model.module if isinstance(model, PrunedModel) else model


def _branches(model: PrunedModel | nn.Module) -> list[str]:
    return [skip.name for skip in model.plan.skips] if isinstance(model, PrunedModel) else []


def _measure(loss: object, metrics: object, options: Mapping[str, Any]) -> Measure | None:
    """The metrics that a caller brings; none are taken for a loss of one's own that comes without metrics or a task."""
    alone = loss is not None and not isinstance(loss, str) and metrics is None and options.get("task") is None
    return measure_of_caller(metrics if isinstance(metrics, Mapping) else None, alone=alone)


def _wanted(options: Mapping[str, Any], loss: object, metrics: object, optimizer: object) -> dict[str, Any]:
    """The fields of the config: `options`, and the parts that are given as it names them, not as a caller's own."""
    chosen: dict[str, Any] = {"loss": loss} if isinstance(loss, str) else {}
    if metrics is not None and not isinstance(metrics, Mapping):
        require(isinstance(metrics, list | tuple), "metrics", metrics, "registered names, or a dict of functions")
        chosen["metrics"] = tuple(cast("Sequence[str]", metrics))
    if isinstance(optimizer, OptimizerConfig | str):
        chosen["optimizer"] = optimizer
    chosen = {**options, **chosen}
    named = {key: value for key, value in chosen.items() if key in MEMBERS and isinstance(value, str)}
    return chosen | {key: MEMBERS[key](name=name) for key, name in named.items()}


def _config(options: Mapping[str, Any], own: OwnParts) -> TrainConfig:
    """The config of the options; the learning rate of an optimizer of one's own stays, unless a schedule is given."""
    constant = {"schedule": ScheduleConfig(name="constant")} if own.optimizer is not None else {}
    return TrainConfig(**{**constant, **options})


def _data(data: Any, splits: Mapping[str, Any], options: BatchOptions, *, resume: bool) -> TrainData:  # noqa: ANN401
    batches = batches_of(data, "training", options, training=True)
    if not is_exact(batches):
        kind = type(data).__name__
        if resume:
            raise UsageError(
                f"a {kind} cannot be asked for the batches of an epoch again, so this run cannot be resumed: give its "
                "map-style Dataset instead"
            )
        _LOG.info("the batches come from a %s as they are: this run cannot be resumed to the bit", kind)
    given = {
        name: batches_of(split, name, options, training=False) for name, split in splits.items() if split is not None
    }
    return TrainData(train=batches, evaluations=given)


def _told(callbacks: Callbacks, config: TrainConfig) -> Callbacks:
    """`callbacks`, and lines in the log."""

    def on_step(step: StepProgress) -> None:
        if step.loss is not None:
            _LOG.info(step_line(step))
        callbacks.on_step(step)

    def on_epoch(record: EpochRecord) -> None:
        _LOG.info(epoch_line(record, config.epochs))
        callbacks.on_epoch(record)

    def on_engine(event: EngineEvent) -> None:
        _LOG.info("engine: %s", event.record.sentence(event.measured_gain))
        callbacks.on_engine(event)

    return replace(callbacks, on_step=on_step, on_epoch=on_epoch, on_engine=on_engine)


def _run_id(data: Any, own: OwnParts) -> str:  # noqa: ANN401
    """What a resumed run must have in common: the kind and size of its data, and the names of what it was given."""
    size = length_of(data)
    parts = (own.loss, own.optimizer, own.scheduler)
    names = [None if part is None else getattr(part, "__qualname__", type(part).__qualname__) for part in parts]
    return fingerprint({"data": type(data).__qualname__, "size": size, "parts": names})


def _require_recipe(model: Path, data: object) -> None:
    if model.suffix not in _RECIPES:
        raise UsageError(
            f"'{model}' is not a recipe ({', '.join(_RECIPES)}); a model by name is built first, by `n2nsurgery.apply`"
        )
    if data is not None:
        raise UsageError("a recipe names its data; leave `data` out, or train a model instead of a recipe")


def _request(  # noqa: PLR0913 - each is an option of the command
    recipe: Path,
    folder: str | Path | None,
    options: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    allow_import: bool,
    download: bool,
    data_root: str | Path | None,
) -> TrainRequest:
    """The request of a recipe, whose `train` section the `options` change."""
    return TrainRequest(
        recipe=recipe,
        overrides=tuple(f"train.{name}={json.dumps(value, default=asdict)}" for name, value in options.items()),
        output=Path(folder) if folder is not None else None,
        resume=AUTO if resume else None,
        overwrite=overwrite,
        allow_import=allow_import,
        download=download,
        data_root=Path(data_root) if data_root is not None else None,
    )


def _train_recipe(request: TrainRequest, own: OwnParts, callbacks: Callbacks) -> TrainOutcome:
    with given_back(own.teacher):
        outcome = run_recipe(request, log=_LOG.info, own=own, callbacks=callbacks)
    trained = outcome.trained if outcome is not None else None
    return trained if trained is not None else TrainOutcome(history=(), last=None, best=None, steps=0)
