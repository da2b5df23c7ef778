"""Training in one line: where it stands, how fast it is, what an epoch gave."""

from __future__ import annotations

from datetime import timedelta

from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress


def progress_line(progress: StepProgress) -> str:
    """`epoch 2/6, step 120/558, 1,234 samples/s, 0:00:42 left`."""
    left = timedelta(seconds=round(progress.seconds_left))
    return (
        f"epoch {progress.epoch}/{progress.epochs}, step {progress.step:,}/{progress.steps:,}, "
        f"{progress.images_per_second:,.0f} samples/s, {left} left"
    )


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """`epoch 2/6: loss 1.2345, accuracy 45.1 % (training), 47.0 % (test), lr 0.0425, 1,234 samples/s`."""
    scores = [("training", record.top1), *((result.split, result.top1) for result in record.evaluations)]
    accuracies = ", ".join(f"{100 * top1:.1f} % ({name})" for name, top1 in scores)
    return (
        f"epoch {record.epoch}/{epochs}: loss {record.loss:.4f}, accuracy {accuracies}, lr {record.lr:.4g}, "
        f"{record.timing.images_per_second:,.0f} samples/s"
    )
