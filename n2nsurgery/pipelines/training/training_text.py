"""Training in one line: where it stands, how fast it is, what an epoch gave."""

from __future__ import annotations

from datetime import timedelta

from n2nsurgery.training.metrics.figures import metric_figure, metric_label
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress


def progress_line(progress: StepProgress) -> str:
    """`epoch 2/6, step 120/558, 1,234 samples/s, 0:00:42 left`."""
    left = timedelta(seconds=round(progress.seconds_left))
    return (
        f"epoch {progress.epoch}/{progress.epochs}, step {progress.step:,}/{progress.steps:,}, "
        f"{progress.images_per_second:,.0f} samples/s, {left} left"
    )


def step_line(progress: StepProgress) -> str:
    """`epoch 2/6, step 120/558: loss 1.2345, lr 0.0425, 1,234 samples/s`."""
    return (
        f"epoch {progress.epoch}/{progress.epochs}, step {progress.step:,}/{progress.steps:,}: "
        f"loss {progress.loss:.4f}, lr {progress.lr:.4g}, {progress.images_per_second:,.0f} samples/s"
    )


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """`epoch 2/6: loss 1.2345, accuracy 45.1 % (training), 47.0 % (test), lr 0.0425, 1,234 samples/s`.

    The metric is the first of the task; without one, the losses of the splits stand in its place.
    """
    name = record.metrics[0][0] if record.metrics else "loss"
    of_splits = [(result.split, result.value(name)) for result in record.evaluations]
    values = [("training", record.value(name)), *of_splits]
    figures = ", ".join(f"{metric_figure(name, value)} ({split})" for split, value in values)
    return (
        f"epoch {record.epoch}/{epochs}: loss {record.loss:.4f}, {metric_label(name)} {figures}, lr {record.lr:.4g}, "
        f"{record.timing.images_per_second:,.0f} samples/s"
    )
