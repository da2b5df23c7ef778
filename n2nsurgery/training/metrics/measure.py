"""Measure: the metrics of a run by name, those of the registry and a caller's own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output, samples_in
from n2nsurgery.core.validation import require, require_choice
from n2nsurgery.training.training_metrics import TrainingMetric

LOSS = "loss"
"""The name under which the loss is a metric as well; lower is better."""


@dataclass(frozen=True, kw_only=True)
class FunctionMetric:
    """A function of what the model returns and the targets, its value the mean over the samples of a batch.

    `higher_is_better`: whether a checkpoint with the larger value is the better one; None where nobody has said so, and
    checkpoints cannot be ranked by it.

        n2nsurgery.FunctionMetric(function=mean_error, higher_is_better=False)
    """

    function: Callable[[Any, Any], Any]
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be called, and for a direction that is none."""
        require(callable(self.function), "function", self.function, "a function of (outputs, targets)")
        told = isinstance(self.higher_is_better, bool | None)
        require(told, "higher_is_better", self.higher_is_better, "True or False, or left out")

    def sums(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
        """(Value times samples, samples)."""
        count = samples_in(outputs)
        found = self.function(outputs, targets)
        try:
            value = float(found)
        except (TypeError, ValueError, RuntimeError) as error:
            shown = f"tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
            raise UsageError(
                f"the metric {name} gave a {shown}; it must give one number, the mean over the batch"
            ) from error
        return torch.tensor([value * count, count], dtype=torch.float64)

    def value(self, sums: Tensor) -> float:
        """The mean over samples."""
        return float(sums[0] / sums[1])


@dataclass(frozen=True, kw_only=True)
class Measure:
    """`metrics` by name. Those of the registry look at the primary output of a model, functions at all of it."""

    metrics: Mapping[str, TrainingMetric | FunctionMetric]

    def __post_init__(self) -> None:
        """Raise UsageError for a metric that has the name of the loss."""
        if LOSS in self.metrics:
            raise UsageError(f"a metric cannot be called '{LOSS}': the loss has that name")

    def sums(self, outputs: Any, targets: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """What one batch adds to each metric."""
        found: dict[str, Tensor] = {}
        for name, metric in self.metrics.items():
            seen = outputs if isinstance(metric, FunctionMetric) else primary_output(outputs).float()
            found[name] = metric.sums(seen, targets)
        return found

    def values(self, sums: Mapping[str, Tensor]) -> tuple[tuple[str, float], ...]:
        """Every metric of what was added up, by name."""
        return tuple((name, metric.value(sums[name])) for name, metric in self.metrics.items())

    def best(self, name: str | None) -> tuple[str, bool]:
        """The metric by which checkpoints are ranked, and whether higher is better; `name` None for the first.

        The loss takes the place of a first metric that does not say which way is better, and of none. Raises
        UnknownNameError for a metric that is not measured, UsageError for a named one that does not say it.
        """
        chosen = name if name is not None else next(iter(self.metrics), LOSS)
        require_choice("best_metric", chosen, (*self.metrics, LOSS))
        higher = False if chosen == LOSS else getattr(self.metrics[chosen], "higher_is_better", None)
        if higher is not None:
            return chosen, higher
        if name is None:
            return LOSS, False
        raise UsageError(
            f"best_metric is '{name}', and that metric does not say whether higher is better: give it as "
            f"metrics={{'{name}': n2nsurgery.FunctionMetric(function=..., higher_is_better=True)}}, or False"
        )
