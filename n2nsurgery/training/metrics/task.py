"""Task: what is measured on outputs and targets; and metrics that a caller brings as plain functions.

A task turns a batch into sums and added-up sums into metrics. So a metric is exact over batches of any sizes, over
several processes and over a resume, however it is composed of its sums: an accuracy as well as an intersection over
union.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import require_choice
from n2nsurgery.core.nested import samples_in
from n2nsurgery.core.outputs import primary_output
from n2nsurgery.core.registry import Registry

LOSS = "loss"
"""The name under which the loss is a metric as well; lower is better."""


class Task(Protocol):
    """The metrics of one kind of problem, the most telling one first, and the loss that it is trained with by default.

    `outputs` is the tensor that a model returns (`core.outputs.primary_output`).
    """

    metrics: ClassVar[tuple[str, ...]]
    lower_is_better: ClassVar[frozenset[str]]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch."""

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float64 (k,), which is added up over batches and processes; k is the same for every batch of a run."""

    def values(self, sums: Tensor) -> dict[str, float]:
        """The metrics of added-up sums, by name."""


TASKS: Registry[type[Task]] = Registry(kind="task", package="n2nsurgery.training.tasks")


@runtime_checkable
class Measure(Protocol):
    """What a meter asks: `Task` without its loss, on whatever the model returns."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names, the one that checkpoints are ranked by first."""

    @property
    def lower_is_better(self) -> frozenset[str]:
        """Those of them that are better when lower."""

    def sums(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401 - whatever the model and the data give
        """As for `Task`."""

    def values(self, sums: Tensor) -> dict[str, float]:
        """As for `Task`."""


class TaskMeasure:
    """The metrics of a task on the primary output of a model."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.metrics = task.metrics
        self.lower_is_better = task.lower_is_better

    def sums(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
        """Those of the task."""
        return self._task.sums(primary_output(outputs).float(), targets)

    def values(self, sums: Tensor) -> dict[str, float]:
        """Those of the task."""
        return self._task.values(sums)


class FunctionMeasure:
    """Functions of (outputs, targets), each the mean over the samples of a batch; the metric is the mean over all.

    `lower_is_better` names those that are better when lower.
    """

    def __init__(
        self, functions: Mapping[str, Callable[[Any, Any], Any]], lower_is_better: frozenset[str] = frozenset()
    ) -> None:
        """Raises UsageError for a name that is taken, and for one of `lower_is_better` that is none of them."""
        if LOSS in functions:
            raise UsageError(f"a metric cannot be called '{LOSS}': the loss has that name")
        for name in lower_is_better:
            require_choice("metric", name, tuple(functions))
        self._functions = dict(functions)
        self.metrics = tuple(functions)
        self.lower_is_better = lower_is_better

    def sums(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
        """Samples, then each function's value times the samples: float64 (1 + functions,)."""
        count = samples_in(outputs)
        values = [float(function(outputs, targets)) for function in self._functions.values()]
        return torch.tensor([count, *(count * value for value in values)], dtype=torch.float64)

    def values(self, sums: Tensor) -> dict[str, float]:
        """The means."""
        count, *totals = sums.tolist()
        return {name: total / count for name, total in zip(self.metrics, totals, strict=True)}


def best_of(measure: Measure, name: str | None) -> tuple[str, bool]:
    """The metric by which checkpoints are ranked, and whether lower is better; None for the first, else the loss.

    Raises UnknownNameError for a metric that is not measured.
    """
    chosen = name if name is not None else next(iter(measure.metrics), LOSS)
    require_choice("best_metric", chosen, (*measure.metrics, LOSS))
    return chosen, chosen == LOSS or chosen in measure.lower_is_better
