"""EpochRecord: what one epoch gave. Timing stands apart, so that two runs can be compared on everything else."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from n2nsurgery.core.names import unknown
from n2nsurgery.training.engine.record import EngineUse
from n2nsurgery.training.metrics.measure import LOSS
from n2nsurgery.training.metrics.meter import Score

Metrics = tuple[tuple[str, float | None], ...]
"""Metrics by name, in the order of their task; None for a value that is not finite."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The scores of one split (`validation`, `test`); a loss or metric that is not finite is None."""

    split: str
    loss: float | None
    metrics: Metrics
    samples: int

    def value(self, name: str) -> float | None:
        """The metric called `name`, or the loss; raises UnknownNameError."""
        return _value(name, self.loss, self.metrics)

    @property
    def top1(self) -> float:
        """Top-1 accuracy in [0, 1] of a classification."""
        return _value("top1", self.loss, self.metrics) or 0.0

    def to_json(self) -> dict[str, Any]:
        """Loss, metrics and samples by name."""
        return {"loss": self.loss, **dict(self.metrics), "samples": self.samples}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of training and of evaluation; images (samples, over all processes) per second of training.

    `measured_gain`: how many times as fast as dense a forward and backward pass was when the run began or went on; None
    for a dense run, and where there was no batch to measure with.
    """

    seconds: float
    evaluation_seconds: float
    images_per_second: float
    measured_gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Epoch `epoch` (from 1) ended after `step` steps in all; `lr`: of the last; `loss`, `metrics`: of training.

    `score`: the metric of the validation split by which checkpoints are ranked, its sign turned where lower is better,
    so that higher always is; None where nothing was validated.
    """

    epoch: int
    step: int
    lr: float
    loss: float
    metrics: Metrics
    score: float | None
    evaluations: tuple[EvaluationRecord, ...]
    timing: Timing
    engine: EngineUse = field(default_factory=EngineUse)

    def value(self, name: str) -> float | None:
        """The metric of training called `name`, or the loss; raises UnknownNameError."""
        return _value(name, self.loss, self.metrics)

    @property
    def top1(self) -> float:
        """Top-1 accuracy in [0, 1] of a classification, on the training split as it was trained on."""
        return _value("top1", self.loss, self.metrics) or 0.0

    def to_json(self) -> dict[str, Any]:
        """One line of metrics.jsonl: each split under its own name, everything measured with a clock under `timing`."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "lr": self.lr,
            "train": {"loss": self.loss, **dict(self.metrics)},
            **{result.split: result.to_json() for result in self.evaluations},
            "engine": asdict(self.engine),
            "timing": asdict(self.timing),
        }


def evaluation_record(split: str, score: Score) -> EvaluationRecord:
    """The record of `score` on the split called `split`."""
    return EvaluationRecord(split=split, loss=_finite(score.loss), metrics=finite_metrics(score), samples=score.samples)


def finite_metrics(score: Score) -> Metrics:
    """The metrics of `score` as JSON knows numbers."""
    return tuple((name, _finite(value)) for name, value in score.metrics)


def ranking_score(evaluations: tuple[EvaluationRecord, ...], metric: str, *, higher_is_better: bool) -> float | None:
    """The score of `EpochRecord` by `metric` of the validation split; None where there was none or it is not finite."""
    values = [result.value(metric) for result in evaluations if result.split == "validation"]
    value = values[0] if values else None
    return value if value is None or higher_is_better else -value


def _value(name: str, loss: float | None, metrics: Metrics) -> float | None:
    found = {LOSS: loss, **dict(metrics)}
    if name not in found:
        raise unknown("metric", name, tuple(found))
    return found[name]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
