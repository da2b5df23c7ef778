"""run_training: the one entry. Builds what moves, goes on from where a run was left, and hands back its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.device import choose_device, deterministic_mode
from n2nsurgery.training.distributed.collectives import broadcast_from_rank_zero, on_rank_zero
from n2nsurgery.training.distributed.distributed_context import DistributedContext, SingleProcess
from n2nsurgery.training.distributed.stop import stop_requests
from n2nsurgery.training.loop.batches import Batches, Mixing
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.loop.trainer import Trainer
from n2nsurgery.training.metrics.digests import digest
from n2nsurgery.training.metrics.metrics import show, tensorboard, write_metrics
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress
from n2nsurgery.training.state.checkpoints import STATE, Checkpoints
from n2nsurgery.training.state.randomness import own_randomness
from n2nsurgery.training.state.saved_state import Identity, SavedState, require_same_run

_LOG = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """What a finished run gave: a record for each epoch, and the folders of its last and its best checkpoint.

    `best`: by validation accuracy; the last one where nothing was validated; processes other than 0, which write no
    files, have None for both. The module that was passed in holds the
    weights of the last step; `checkpoints.trained_weights` has those to deploy.
    """

    history: tuple[EpochRecord, ...]
    last: Path | None
    best: Path | None
    steps: int


def run_training(  # noqa: PLR0913 - each is a part of the run that somebody else owns
    model: nn.Module,
    train: Batches,
    config: TrainConfig,
    *,
    folder: Path,
    evaluations: Mapping[str, Batches] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    mixing: Mixing | None = None,
    processes: DistributedContext | None = None,
    resume: bool = False,
    run_id: str = "",
    on_epoch: Callable[[EpochRecord], object] = lambda _: None,
    progress: Callable[[StepProgress], object] = lambda _: None,
) -> TrainOutcome:
    """Train `model` in place; checkpoints, metrics.jsonl and metrics.csv appear in `folder`.

    `evaluations`: batches by split (`validation` ranks the checkpoints). `masks`: which weights are kept, by parameter
    name; a pruned network has its own, whose gradient hooks are suspended meanwhile. `mixing`: mixup, cutmix.
    `processes`: the processes that train together (`distributed.joined`). `resume`: go on from the newest whole
    checkpoint in `folder`, from the start where there is none. `run_id`: a word for model and data, which a resumed run
    must have in common.

    Raises UsageError (a config that does not fit, a folder that holds another run), RunError (loss not finite, no
    space, no device), VerificationError (a pruned weight moved), InterruptionError (state saved, resume to go on).
    """
    processes = processes if processes is not None else SingleProcess(device=choose_device(config.device))
    enforcer = enforcer_of(model)
    masks = enforcer.masks if enforcer is not None else masks or {}
    _require_batches({"train": train, **(evaluations or {})})
    store = Checkpoints(folder / CHECKPOINTS, keep_last=config.keep_last, keep_best=config.keep_best)
    files = broadcast_from_rank_zero(processes, on_rank_zero(processes, lambda: _newest(store, resume=resume)))
    with ExitStack() as stack:
        stack.enter_context(deterministic_mode(deterministic=config.deterministic))
        stack.enter_context(own_randomness(config.seed, processes.device, processes.rank))
        stack.enter_context(enforcer.suspended() if enforcer is not None else nullcontext())
        stopped = stack.enter_context(stop_requests())
        train_state = TrainState(model, config, processes, masks)
        stack.callback(train_state.close)
        processes.require_same("masks", digest(masks))
        trainer = Trainer(
            train_state=train_state, train=train, evaluations=evaluations or {}, config=config,
            identity=Identity(
                config=config, processes=processes.size, batches=len(train), masks=digest(masks), subject=run_id
            ),
            processes=processes, store=store, folder=folder, stopped=stopped, mixing=mixing, on_step=progress,
            on_epoch=on_epoch,
        )  # fmt: skip
        if files is not None:
            _go_on(trainer, files)
        if config.tensorboard and processes.rank == 0:
            trainer.on_epoch = _shown(stack, folder, trainer.position.step, on_epoch)
        stack.enter_context(_memory_named(config, processes))
        trainer.run()
    return _outcome(trainer)


def _require_batches(splits: Mapping[str, Batches]) -> None:
    for name, batches in splits.items():
        if not len(batches):
            raise UsageError(f"the {name} split has no batch; it needs as many samples as one batch holds, at least")


def _newest(store: Checkpoints, *, resume: bool) -> SealedFiles | None:
    """The checkpoint to go on from, None for a new run; what a killed run left half-written is cleared."""
    if not resume and store.names():
        raise UsageError(f"'{store.folder}' already holds checkpoints: resume that run, or train into another folder")
    return store.open()


def _go_on(trainer: Trainer, files: SealedFiles) -> None:
    """Put everything back as it was when `files` were saved; lines of metrics written since then go."""
    where = f"'{files.folder}'"
    state = SavedState.from_json(files.document(STATE), where)
    require_same_run(state.identity, trainer.identity, where)
    trainer.train_state.load(files, state.averaged, state.scaler)
    trainer.position, trainer.seconds, trainer.history = state.position, state.seconds, list(state.history)
    if trainer.processes.rank == 0:
        trainer.train_state.meter.reset(state.sums)
        write_metrics(trainer.folder, trainer.history)
    _LOG.info("going on from %s: epoch %d, step %d", where, state.position.epoch + 1, state.position.step)


def _shown(
    stack: ExitStack, folder: Path, step: int, on_epoch: Callable[[EpochRecord], object]
) -> Callable[[EpochRecord], object]:
    """`on_epoch` after TensorBoard has been shown the epoch; the writer is closed with `stack`."""
    board = tensorboard(folder / "tensorboard", step)
    stack.callback(board.close)

    def shown(record: EpochRecord) -> None:
        show(board, record)
        on_epoch(record)

    return shown


@contextmanager
def _memory_named(config: TrainConfig, processes: DistributedContext) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"{processes.device} has no memory left with batches of {config.local_batch(processes.size)} in each"
            " process: "
            "raise accumulate, which keeps the result, or lower batch_size"
        ) from error


def _outcome(trainer: Trainer) -> TrainOutcome:
    store = trainer.store
    return TrainOutcome(history=tuple(trainer.history), last=store.last, best=store.best, steps=trainer.position.step)
