"""Measure: the metrics of a run by name, those of the registry and a caller's own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output, samples_in
from n2nsurgery.core.validation import require_choice
from n2nsurgery.training.training_metrics import TrainingMetric

LOSS = "loss"
"""The name under which the loss is a metric as well; lower is better."""


@dataclass(frozen=True, kw_only=True)
class FunctionMetric:
    """A function of what the model returns and the targets, its value the mean over the samples of a batch."""

    function: Callable[[Any, Any], Any]
    higher_is_better: bool = True

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
        """The metric by which checkpoints are ranked, and whether higher is better; None for the first, else the loss.

        Raises UnknownNameError for a metric that is not measured.
        """
        chosen = name if name is not None else next(iter(self.metrics), LOSS)
        require_choice("best_metric", chosen, (*self.metrics, LOSS))
        return chosen, chosen != LOSS and self.metrics[chosen].higher_is_better
