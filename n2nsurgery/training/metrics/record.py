"""EpochRecord: what one epoch gave. Timing stands apart, so that two runs can be compared on everything else."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from n2nsurgery.training.metrics.meter import Score


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The scores of one split (`validation`, `test`); accuracies lie in [0, 1], a loss that is not finite is None."""

    split: str
    loss: float | None
    top1: float
    top5: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of training and of evaluation; images (samples, over all processes) per second of training."""

    seconds: float
    evaluation_seconds: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Epoch `epoch` (from 1) ended after `step` steps in all; `lr`: of the last; `loss`, `top1`: of training."""

    epoch: int
    step: int
    lr: float
    loss: float
    top1: float
    evaluations: tuple[EvaluationRecord, ...]
    timing: Timing

    @property
    def score(self) -> float | None:
        """Top-1 accuracy on the validation split, by which checkpoints are ranked; None where there was none."""
        return next((result.top1 for result in self.evaluations if result.split == "validation"), None)

    def to_json(self) -> dict[str, Any]:
        """One line of metrics.jsonl: each split under its own name, everything measured with a clock under `timing`."""
        splits = {
            result.split: {k: v for k, v in asdict(result).items() if k != "split"} for result in self.evaluations
        }
        train = {"loss": self.loss, "top1": self.top1}
        return {
            "epoch": self.epoch,
            "step": self.step,
            "lr": self.lr,
            "train": train,
            **splits,
            "timing": asdict(self.timing),
        }


def evaluation_record(split: str, score: Score) -> EvaluationRecord:
    """The record of `score` on the split called `split`."""
    loss = score.loss if math.isfinite(score.loss) else None
    return EvaluationRecord(split=split, loss=loss, top1=score.top1, top5=score.top5, samples=score.samples)
