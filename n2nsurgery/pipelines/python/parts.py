"""What a caller brings to training and evaluation: metrics as functions or objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require
from n2nsurgery.training.loop.components import require_function
from n2nsurgery.training.metrics.measure import FunctionMetric, Measure
from n2nsurgery.training.training_metrics import TrainingMetric

Metric = TrainingMetric | FunctionMetric | Callable[[Any, Any], Any]
Metrics = Mapping[str, Metric]
"""By name, functions of (outputs, targets) that give the mean over a batch, or objects like those registered.

A bare function does not say whether higher is better; `FunctionMetric(function=..., higher_is_better=False)` does.
"""


def measure_of_caller(metrics: Metrics | None, *, alone: bool) -> Measure | None:
    """The metrics of a caller; where there are none, none at all for a loss that stands `alone`, else the config's.

    Raises UsageError for what is not a function.
    """
    if metrics is None:
        return Measure(metrics={}) if alone else None
    named = isinstance(metrics, Mapping)
    require(named, "metrics", metrics, "a dict of functions of (outputs, targets) by name")
    return Measure(metrics={name: _metric(name, metric) for name, metric in metrics.items()})


def require_unused(why: str, **given: object) -> None:
    """Return where none of `given` is set; raises UsageError that names those that are, and `why`."""
    unused = [name for name, value in given.items() if value]
    if unused:
        raise UsageError(f"{why}; leave {', '.join(unused)} out")


def _metric(name: str, metric: Metric) -> TrainingMetric | FunctionMetric:
    if hasattr(metric, "sums"):
        return cast("TrainingMetric", metric)
    require_function(f"metrics['{name}']", metric, "(outputs, targets)")
    return FunctionMetric(function=metric)
