"""What a caller brings to training and evaluation: metrics as functions or objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from n2nsurgery.training.metrics.measure import FunctionMetric, Measure
from n2nsurgery.training.training_metrics import TrainingMetric

Metric = TrainingMetric | FunctionMetric | Callable[[Any, Any], Any]
Metrics = Mapping[str, Metric]
"""By name, functions of (outputs, targets) that give the mean over a batch, or objects like those registered."""


def measure_of_caller(metrics: Metrics | None, *, alone: bool) -> Measure | None:
    """The metrics of a caller; where there are none, none at all for a loss that stands `alone`, else the config's."""
    if metrics is None:
        return Measure(metrics={}) if alone else None
    return Measure(metrics={name: _metric(metric) for name, metric in metrics.items()})


def _metric(metric: Metric) -> TrainingMetric | FunctionMetric:
    if hasattr(metric, "sums"):
        return cast("TrainingMetric", metric)
    return FunctionMetric(function=metric)
