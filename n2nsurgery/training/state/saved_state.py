"""SavedState: the document beside the tensors of a checkpoint, and whether a run may go on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.engine.record import EngineRecord
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.state.older import upgraded

# These may change between two parts of one run: its weights do not depend on them, on the engine but for roundings.
_FREE = frozenset(
    {
        "device",
        "keep_last",
        "keep_best",
        "checkpoint_steps",
        "tensorboard",
        "log_every",
        "distributed_timeout",
        "find_unused_parameters",
        "engine",
        "measure_engine",
    }
)
# With leave: what is left of the run is done otherwise, from the same weights and the same state.
_WITH_LEAVE = frozenset(
    {
        "config.epochs",
        "config.optimizer.lr",
        "config.optimizer.weight_decay",
        "config.optimizer.nesterov",
        "config.label_smoothing",
        "config.clip_norm",
        "config.channels_last",
        "config.compile",
        "config.deterministic",
        "config.sync_batch_norm",
        "config.evaluate_every",
        "config.patience",
    }
)


@dataclass(frozen=True, kw_only=True)
class Position:
    """`epoch` epochs done, `batch` batches of the next one, `step` optimizer steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class ScalerState:
    """The gradient scaler of fp16: its factor, and the steps since it last changed."""

    scale: float
    growth: int


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a checkpoint belongs to: the config, the number of processes, batches in an epoch, masks, and `subject`.

    `subject` is the caller's own word for model and data, a fingerprint for example. `teacher`: its class and a digest
    of its weights, empty where there is none; `metrics`: their names. None where an earlier version has kept neither.
    """

    config: TrainConfig
    processes: int
    batches: int
    masks: str
    subject: str
    teacher: str | None = None
    metrics: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """Everything that is not a tensor.

    `sums` (by metric), `seconds`: of the epoch under way; `score`: of one that has just ended.
    """

    position: Position
    sums: tuple[tuple[str, tuple[float, ...]], ...]
    seconds: float
    history: tuple[EpochRecord, ...]
    averaged: int | None
    scaler: ScalerState | None
    score: float | None
    engine: EngineRecord
    identity: Identity

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str) -> SavedState:  # noqa: ANN401 - any JSON value
        """The state that `to_json` gave; InvalidFileError for anything unknown, missing or of another type."""
        return decode(cls, upgraded(value), where)


def require_same_run(saved: Identity, asked: Identity, where: str, *, allow_changes: bool = False) -> tuple[str, ...]:
    """What is changed where the run that is `asked` for may go on from the `saved` one, in words; nothing is usual.

    Another number of processes is accepted, and another number of epochs where neither schedule, dynamics nor fading
    skips look at the end; with `allow_changes` any learning rate, schedule and length. Raises UsageError with what
    differs beyond.
    """
    lengths = (saved.config.schedule.name, asked.config.schedule.name)
    ends = "cosine" in lengths or asked.config.dynamics is not None or asked.config.skip_fade is not None
    accepted = {"processes"} if ends else {"processes", "config.epochs"}
    accepted |= _WITH_LEAVE if allow_changes else set()

    def is_accepted(name: str) -> bool:
        return name in accepted or (allow_changes and name.startswith("config.schedule."))

    differences = dict(_differences(_settled(saved), _settled(asked)))
    refused = [line for name, line in differences.items() if not is_accepted(name)]
    if refused:
        raise UsageError(
            f"{where} belongs to another run: {'; '.join(refused)}. Ask for the same to resume it, or train into "
            "another folder"
        )
    return tuple(differences.values())


def _settled(identity: Identity) -> Identity:
    """With the schedule's floor as a number, as earlier versions kept it."""
    return replace(identity, config=replace(identity.config, schedule=identity.config.settled_schedule))


def _differences(saved: Any, asked: Any, prefix: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - dataclasses
    """Names of what differs between two values of one dataclass, with a sentence for each."""
    for field in fields(saved):
        before, now = getattr(saved, field.name), getattr(asked, field.name)
        if is_dataclass(before) and is_dataclass(now):
            yield from _differences(before, now, f"{prefix}{field.name}.")
        elif _as_json(before) != _as_json(now) and field.name not in _FREE:
            name = f"{prefix}{field.name}"
            if name in _KEPT_SINCE and before is None:
                continue
            shown = _HASHED.get(name, f"{name} was {before!r} and is {now!r}")
            yield name, shown


def _as_json(value: Any) -> Any:  # noqa: ANN401 - of a field
    """`value` as a document gives it back: what was a tuple is a list."""

    def plain(inner: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass or a mapping
        return asdict(inner) if is_dataclass(inner) and not isinstance(inner, type) else dict(inner)

    return json.loads(json.dumps(value, default=plain))


_KEPT_SINCE = frozenset({"teacher", "metrics"})  # earlier versions kept neither

# Hashes: that they differ says nothing to a reader.
_HASHED = {
    "masks": "the masks are others",
    "subject": "it is of another model, data set, surgery or seed",
    "teacher": "the teacher is another one, or there is one in only one of the two",
}
