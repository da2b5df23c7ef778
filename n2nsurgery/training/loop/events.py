"""Callbacks: plain functions that are told what happens in a run.

    n2nsurgery.train(model, data, folder="runs/mine", callbacks=Callbacks(on_epoch=tell))

With Weights & Biases, MLflow or anything else that takes names and numbers:

    def tell(record: EpochRecord) -> None:
        wandb.log({"train/loss": record.loss}, step=record.step)
        for result in record.evaluations:
            wandb.log({f"{result.split}/{name}": value for name, value in result.metrics}, step=record.step)

    def keep(event: CheckpointEvent) -> None:
        if event.best:
            mlflow.log_artifacts(str(event.folder), "best")

Functions are called in process 0 alone, between two steps. What they raise ends the run; the newest checkpoint stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.training.engine.record import EngineRecord
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent:
    """A checkpoint was written into `folder` after `epoch` whole epochs and `step` steps in all.

    `best`: it has the best score on the validation data so far.
    """

    folder: Path
    epoch: int
    step: int
    best: bool


@dataclass(frozen=True, kw_only=True)
class EngineEvent:
    """What a run is computed with; `measured_gain`: of a forward and backward pass against dense, None where dense."""

    record: EngineRecord
    measured_gain: float | None


def _nothing(_event: object) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Functions of one event each: after every step, every epoch and every checkpoint, and of the engine.

    That is told before the first step and wherever it changes.
    Where the engine is sparse, the module that is trained has its weights in `on_epoch`, `on_checkpoint` and when the
    run has ended; in `on_step` it has those of the last checkpoint.
    """

    on_step: Callable[[StepProgress], object] = _nothing
    on_epoch: Callable[[EpochRecord], object] = _nothing
    on_checkpoint: Callable[[CheckpointEvent], object] = _nothing
    on_engine: Callable[[EngineEvent], object] = _nothing
