"""run_training: the one entry. Builds what moves, goes on from where a run was left, and hands back its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.processes.distributed_context import DistributedContext, SingleProcess
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.core.version import __version__
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.store import unpack
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.device import choose_device, deterministic_mode
from n2nsurgery.training.distributed.collectives import broadcast_from_rank_zero, on_rank_zero, require_agreement
from n2nsurgery.training.distributed.stop import stop_requests
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.engine.twin import TwinMaker
from n2nsurgery.training.loop.batches import TrainData, with_inputs
from n2nsurgery.training.loop.components import Components, components_of
from n2nsurgery.training.loop.events import Callbacks, EngineEvent
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.loop.trainer import Trainer
from n2nsurgery.training.metrics.digests import digest, module_digest
from n2nsurgery.training.metrics.metrics import TENSORBOARD, require_tensorboard, show, tensorboard, write_metrics
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.schedules import Span
from n2nsurgery.training.state.checkpoints import MASKS, STATE, Checkpoints
from n2nsurgery.training.state.outcome import TrainOutcome
from n2nsurgery.training.state.randomness import own_randomness
from n2nsurgery.training.state.saved_state import Identity, Position, SavedState, require_same_run

_LOG = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"
Undo = Callable[[], None]
"""Takes back what was written into a run's folder before its training."""


def run_training(  # noqa: PLR0913 - each is a part of the run that somebody else owns
    model: nn.Module,
    data: TrainData,
    config: TrainConfig,
    *,
    folder: Path,
    components: Components | None = None,
    callbacks: Callbacks | None = None,
    masks: Mapping[str, Tensor] | None = None,
    processes: DistributedContext | None = None,
    resume: bool = False,
    overwrite: bool = False,
    allow_changes: bool = False,
    begin: Callable[[], Undo | None] | None = None,
    run_id: str = "",
    twins: TwinMaker | None = None,
    branches: Sequence[str] = (),
) -> TrainOutcome:
    """Train `model` in place; checkpoints, metrics.jsonl and metrics.csv appear in `folder`.

    `components`: loss, metrics, optimizer and scheduler; None for those that `config` names. `masks`: which weights are
    kept, by parameter name; a pruned network has its own, whose gradient hooks are suspended meanwhile. `processes`:
    the processes that train together (`distributed.joined`). `resume`: go on from the newest whole checkpoint in
    `folder`, from the start where there is none; with `allow_changes` although learning rate, schedule or length have
    changed. `overwrite`: remove the checkpoints that `folder` holds; `begin` is called in process 0 after that. Neither
    happens before nothing is left that could refuse the run; what `begin` returns is called where the first step fails
    all the same. `run_id`: a word for model and data, which a resumed run must have in common. `twins`: makes the twin
    of `model` that is trained in its place where the engine is sparse; None where there is none. `branches`: names of
    the modules that `config.skip_fade` fades, each called as module(z, a) and giving z plus a branch.

    Raises UsageError (a config that does not fit, a folder that holds another run), RunError (loss not finite, no
    space, no device), VerificationError (a pruned weight moved), InterruptionError (state saved, resume to go on).
    """
    processes = processes if processes is not None else SingleProcess(device=choose_device(config.device))
    components = components if components is not None else components_of(config)
    enforcer = enforcer_of(model)
    masks = enforcer.masks if enforcer is not None else masks or {}
    identity = Identity(
        config=config, processes=processes.size, batches=len(data.train), masks=digest(masks), subject=run_id,
        teacher="" if components.teacher is None else module_digest(components.teacher.network),
        metrics=tuple(components.measure.metrics),
    )  # fmt: skip
    require_agreement(processes, _facts(identity, data))
    _require_parts(config, components, data)
    store = Checkpoints(folder / CHECKPOINTS, keep_last=config.keep_last, keep_best=config.keep_best)
    files = broadcast_from_rank_zero(processes, on_rank_zero(processes, lambda: _newest(store, resume, overwrite)))
    with ExitStack() as stack:
        stack.enter_context(deterministic_mode(deterministic=config.deterministic))
        stack.enter_context(own_randomness(config.seed, processes.device, processes.rank))
        stack.enter_context(enforcer.suspended() if enforcer is not None else nullcontext())
        stopped = stack.enter_context(stop_requests())
        saved = None if files is None else SavedState.from_json(files.document(STATE), f"'{files.folder}'")
        position, begun_with = (Position(), None) if saved is None else (saved.position, saved.engine)
        span = Span(steps_per_epoch=-(-len(data.train) // config.accumulate), epochs=config.epochs)
        asked = EngineRequest(
            config=config, processes=processes, make=twins, pruned=bool(masks), foreign_optimizer=components.mixes,
            saved=begun_with, span=span, step=position.step,
        )  # fmt: skip
        request, begun = (asked, None) if asked.refusal() is not None else with_inputs(asked, data.train, position)
        present = _present(files, masks)
        train_state = TrainState(model, config, components, processes, masks, span, request, branches, present)
        stack.callback(train_state.close)
        trainer = Trainer(
            train_state=train_state, data=data, config=config, identity=identity, processes=processes, store=store,
            folder=folder, stopped=stopped, callbacks=callbacks or Callbacks(), engine_request=asked, begun=begun,
        )  # fmt: skip
        _go_on(trainer, files, saved, allow_changes=allow_changes)
        stack.enter_context(_begun(trainer, begin, overwrite=overwrite))
        _tell(trainer, saved)
        trainer.callbacks = _shown(trainer, stack)
        stack.enter_context(_gpu_errors_named(config, processes))
        trainer.run()
    return _outcome(trainer)


def _facts(identity: Identity, data: TrainData) -> dict[str, Any]:
    """What all processes must have in common, by name; each has a device of its own."""
    facts = asdict(identity)
    config = facts.pop("config")
    del config["device"]
    return {
        "batches of an epoch": facts.pop("batches"),
        "splits to evaluate": sorted(data.evaluations),
        "versions": {"n2nsurgery": __version__, "torch": torch.__version__},
        **facts,
        **dict(_named(config, "config")),
    }


def _named(value: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    """The values of nested sections by their names: `config.optimizer.lr`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _named(inner, f"{name}.{key}")
    else:
        yield name, value


def _require_parts(config: TrainConfig, components: Components, data: TrainData) -> None:
    """Return where the metric of ranking is measured, and what looks at validation data has some.

    Raises UsageError, and RunError where TensorBoard is asked for and not installed.
    """
    if config.tensorboard:
        require_tensorboard()
    components.measure.best(config.best_metric)
    for name in ("best_metric", "patience"):
        value = getattr(config, name)
        if value is not None and "validation" not in data.evaluations:
            raise UsageError(
                f"is {value!r}, and there is no validation split to look at: set data.validation, or leave {name} out",
                field=name,
                joint=" ",
            )


def _newest(store: Checkpoints, resume: bool, overwrite: bool) -> SealedFiles | None:  # noqa: FBT001
    """The checkpoint to go on from, None for a new run; what a killed run left half-written is cleared."""
    if overwrite:
        return None
    if not resume and store.names():
        raise UsageError(
            f"'{store.folder}' already holds checkpoints: resume that run, overwrite it, or choose another folder"
        )
    return store.open()


def _present(files: SealedFiles | None, masks: Mapping[str, Tensor]) -> MaskSet | None:
    """The masks of the checkpoint `files`, where the run that began with `masks` has moved them."""
    if files is None or MASKS not in files.tensors:
        return None
    return unpack(files.tensor_set(MASKS), {name: tuple(mask.shape) for name, mask in masks.items()})


@contextmanager
def _begun(trainer: Trainer, begin: Callable[[], Undo | None] | None, *, overwrite: bool) -> Iterator[None]:
    """Remove the former run's checkpoints where asked, and make the folder that of this run.

    What `begin` wrote is taken back where the run fails inside before anything of it was trained or saved.
    """

    def prepared() -> Undo | None:
        if overwrite:
            trainer.store.clear()
        return begin() if begin is not None else None

    undo = on_rank_zero(trainer.processes, prepared)
    try:
        yield
    except Exception:
        if undo is not None and trainer.position.step == 0 and not trainer.store.names():
            undo()
        raise


def _tell(trainer: Trainer, saved: SavedState | None) -> None:
    """Say what the run is computed with, where that is not what it was begun with, and what is doubtful of it."""
    engine = trainer.train_state.engine
    if saved is not None and saved.engine.use.name != engine.record.use.name:
        _LOG.warning(
            "the run was %s and goes on %s: from the same state, with sums rounded otherwise, so not to the bit",
            saved.engine.use.name,
            engine.record.use.name,
        )
    if trainer.processes.rank == 0:
        trainer.callbacks.on_engine(EngineEvent(record=engine.record, measured_gain=engine.measured_gain))
    moving = trainer.train_state.moving
    for doubt in moving.doubts() if moving is not None else ():
        _LOG.warning(doubt)


def _go_on(trainer: Trainer, files: SealedFiles | None, state: SavedState | None, *, allow_changes: bool) -> None:
    """Put everything back as it was when `files` were saved, if they were; lines of metrics written since then go."""
    if files is None or state is None:
        return
    where = f"'{files.folder}'"
    if changes := require_same_run(state.identity, trainer.identity, where, allow_changes=allow_changes):
        _LOG.warning(
            "going on from %s with changes: %s; what follows may differ from a run that had them from its start",
            where,
            "; ".join(changes),
        )
    trainer.train_state.load(files, state.averaged, state.scaler)
    if trainer.train_state.fading is not None:
        trainer.train_state.fading.at(state.position.step)
    trainer.position, trainer.seconds, trainer.history = state.position, state.seconds, list(state.history)
    if trainer.processes.rank == 0:
        trainer.train_state.meter.reset(dict(state.sums))
        write_metrics(trainer.folder, trainer.history)
    _LOG.info("going on from %s: epoch %d, step %d", where, state.position.epoch + 1, state.position.step)


def _shown(trainer: Trainer, stack: ExitStack) -> Callbacks:
    """Callbacks that are told of an epoch after TensorBoard was shown it; the writer is closed with `stack`."""
    callbacks = trainer.callbacks
    if not trainer.config.tensorboard or trainer.processes.rank:
        return callbacks
    board = tensorboard(trainer.folder / TENSORBOARD, trainer.position.step)
    stack.callback(board.close)

    def shown(record: EpochRecord) -> None:
        show(board, record)
        callbacks.on_epoch(record)

    return replace(callbacks, on_epoch=shown)


@contextmanager
def _gpu_errors_named(config: TrainConfig, processes: DistributedContext) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"{processes.device} has no memory left with batches of {config.local_batch(processes.size)} in each"
            " process: raise accumulate or set gradient_checkpointing, which keep the result, or lower batch_size"
        ) from error
    except RuntimeError as error:
        if "device-side assert" not in str(error):
            raise
        raise RunError(
            f"an assertion failed on {processes.device}, most often because a label is not one of the model's classes; "
            "device cpu names the label"
        ) from error


def _outcome(trainer: Trainer) -> TrainOutcome:
    store, engine = trainer.store, trainer.train_state.engine
    return TrainOutcome(
        history=tuple(trainer.history), last=store.last, best=store.best, steps=trainer.position.step,
        engine=engine.record, measured_gain=engine.measured_gain,
    )  # fmt: skip
