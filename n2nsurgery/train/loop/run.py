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
from n2nsurgery.train.config.config import TrainConfig
from n2nsurgery.train.config.device import choose_device, strictness
from n2nsurgery.train.distributed.stop import stop_requests
from n2nsurgery.train.distributed.together import by_first, from_first
from n2nsurgery.train.distributed.world import Alone, World
from n2nsurgery.train.loop.batches import Batches, Mixing
from n2nsurgery.train.loop.loop import Loop
from n2nsurgery.train.loop.masking import Keeper
from n2nsurgery.train.loop.session import Session
from n2nsurgery.train.metrics.digests import digest
from n2nsurgery.train.metrics.metrics import show, tensorboard, write_metrics
from n2nsurgery.train.metrics.pace import Progress
from n2nsurgery.train.metrics.record import EpochRecord
from n2nsurgery.train.state.checkpoints import STATE, Checkpoints
from n2nsurgery.train.state.randomness import own_randomness
from n2nsurgery.train.state.saved_state import Identity, SavedState, require_same_run

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
    keeper: Keeper | None = None,
    mixing: Mixing | None = None,
    world: World | None = None,
    resume: bool = False,
    subject: str = "",
    on_epoch: Callable[[EpochRecord], object] = lambda _: None,
    progress: Callable[[Progress], object] = lambda _: None,
) -> TrainOutcome:
    """Train `model` in place; checkpoints, metrics.jsonl and metrics.csv appear in `folder`.

    `evaluations`: batches by split (`validation` ranks the checkpoints). `masks`: which weights are kept, by parameter
    name; or the `keeper` of an operated network, which rests meanwhile. `mixing`: mixup, cutmix. `world`: the processes
    that train together (`distributed.joined`). `resume`: go on from the newest whole checkpoint in `folder`, from the
    start where there is none. `subject`: a word for model and data, which a resumed run must have in common.

    Raises UsageError (a config that does not fit, a folder that holds another run), RunError (loss not finite, no
    space, no device), VerificationError (a pruned weight moved), InterruptionError (state saved, resume to go on).
    """
    world = world if world is not None else Alone(device=choose_device(config.device))
    masks = keeper.masks if keeper is not None else masks or {}
    _require_batches({"train": train, **(evaluations or {})})
    store = Checkpoints(folder / CHECKPOINTS, keep_last=config.keep_last, keep_best=config.keep_best)
    files = from_first(world, by_first(world, lambda: _newest(store, resume=resume)))
    with ExitStack() as stack:
        stack.enter_context(strictness(deterministic=config.deterministic))
        stack.enter_context(own_randomness(config.seed, world.device, world.rank))
        stack.enter_context(keeper.resting() if keeper is not None else nullcontext())
        stopped = stack.enter_context(stop_requests())
        session = Session(model, config, world, masks)
        stack.callback(session.close)
        world.require_same("masks", digest(masks))
        loop = Loop(
            session=session, train=train, evaluations=evaluations or {}, config=config,
            identity=Identity(
                config=config, processes=world.size, batches=len(train), masks=digest(masks), subject=subject
            ),
            world=world, store=store, folder=folder, stopped=stopped, mixing=mixing, on_step=progress,
            on_epoch=on_epoch,
        )  # fmt: skip
        if files is not None:
            _go_on(loop, files)
        if config.tensorboard and world.rank == 0:
            loop.on_epoch = _shown(stack, folder, loop.position.step, on_epoch)
        stack.enter_context(_memory_named(config, world))
        loop.run()
    return _outcome(loop)


def _require_batches(splits: Mapping[str, Batches]) -> None:
    for name, batches in splits.items():
        if not len(batches):
            raise UsageError(f"the {name} split has no batch; it needs as many samples as one batch holds, at least")


def _newest(store: Checkpoints, *, resume: bool) -> SealedFiles | None:
    """The checkpoint to go on from, None for a new run; what a killed run left half-written is cleared."""
    if not resume and store.names():
        raise UsageError(f"'{store.folder}' already holds checkpoints: resume that run, or train into another folder")
    return store.open()


def _go_on(loop: Loop, files: SealedFiles) -> None:
    """Put everything back as it was when `files` were saved; lines of metrics written since then go."""
    where = f"'{files.folder}'"
    state = SavedState.from_json(files.document(STATE), where)
    require_same_run(state.identity, loop.identity, where)
    loop.session.load(files, state.averaged, state.scaler)
    loop.position, loop.seconds, loop.history = state.position, state.seconds, list(state.history)
    if loop.world.rank == 0:
        loop.session.meter.reset(state.sums)
        write_metrics(loop.folder, loop.history)
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
def _memory_named(config: TrainConfig, world: World) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"{world.device} has no memory left with batches of {config.local_batch(world.size)} in each process: "
            "raise accumulate, which keeps the result, or lower batch_size"
        ) from error


def _outcome(loop: Loop) -> TrainOutcome:
    store = loop.store
    return TrainOutcome(history=tuple(loop.history), last=store.last, best=store.best, steps=loop.position.step)
