"""What comes of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import counted
from n2nsurgery.training.engine.record import EngineRecord
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.state.checkpoints import trained_weights


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """What a finished run gave: a record for each epoch, and the folders of its last and its best checkpoint.

    `engine`: what it was computed with at its end; `measured_gain`: a sparse pass against a dense one, where measured.

    `best`: by `best_metric` of the validation data, the last one without such data. Processes other than 0, which write
    no files, have None for both. The module that was passed in holds the weights of the last step;
    `checkpoints.trained_weights` has those to deploy.
    """

    history: tuple[EpochRecord, ...]
    last: Path | None
    best: Path | None
    steps: int
    engine: EngineRecord = field(default_factory=EngineRecord)
    measured_gain: float | None = None

    def __repr__(self) -> str:
        """One line; `history` has the numbers of every epoch."""
        done = f"{counted(len(self.history), 'epoch')}, {counted(self.steps, 'step')}"
        return f"TrainOutcome({done}, best: {self.best})"

    def weights(self) -> Mapping[str, Tensor]:
        """The weights of the best checkpoint, by the names of the model's state_dict; averaged ones where there are.

        Raises UsageError in a process that writes no files.
        """
        if self.best is None:
            raise UsageError("only process 0 writes checkpoints, and has the folder of the best")
        return trained_weights(self.best)
