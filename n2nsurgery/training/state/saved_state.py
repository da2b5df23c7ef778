"""SavedState: the document beside the tensors of a checkpoint, and whether a run may go on from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.state.older import upgraded

# These may change between two parts of one run: its weights do not depend on them.
_FREE = frozenset({"device", "keep_last", "keep_best", "checkpoint_steps", "tensorboard", "log_every"})


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

    `subject` is the caller's own word for model and data, a fingerprint for example.
    """

    config: TrainConfig
    processes: int
    batches: int
    masks: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """Everything that is no tensor.

    `sums` (by metric), `seconds`: of the epoch under way; `score`: of one that has just ended.
    """

    position: Position
    sums: tuple[tuple[str, tuple[float, ...]], ...]
    seconds: float
    history: tuple[EpochRecord, ...]
    averaged: int | None
    scaler: ScalerState | None
    score: float | None
    identity: Identity

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str) -> SavedState:  # noqa: ANN401 - any JSON value
        """The state that `to_json` gave; InvalidFileError for anything unknown, missing or of another type."""
        return decode(cls, upgraded(value), where)


def require_same_run(saved: Identity, asked: Identity, where: str) -> None:
    """Return where the run that is `asked` for may go on from the `saved` one; raises UsageError with what differs."""
    differences = list(_differences(saved, asked))
    lengths = (saved.config.schedule.name, asked.config.schedule.name)
    if "cosine" not in lengths:  # the others do not look at the end, so a run may be made longer or shorter
        differences = [line for line in differences if not line.startswith("config.epochs ")]
    if differences:
        raise UsageError(
            f"{where} belongs to another run: {'; '.join(differences)}. Ask for the same to resume it, or train into "
            "another folder"
        )


def _differences(saved: Any, asked: Any, prefix: str = "") -> list[str]:  # noqa: ANN401 - two values of one dataclass
    found: list[str] = []
    for field in fields(saved):
        before, now = getattr(saved, field.name), getattr(asked, field.name)
        if is_dataclass(before):
            found += _differences(before, now, f"{prefix}{field.name}.")
        elif before != now and field.name not in _FREE:
            found.append(f"{prefix}{field.name} was {before!r} and is {now!r}")
    return found
