"""Training metrics: what a trained model is judged by; one file each.

A metric is made of sums over batches, so that batches, splits and processes are added up before it is taken.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.registry import Registry


class TrainingMetric(Protocol):
    """A metric with its parameters as fields; a frozen dataclass.

    `higher_is_better`: whether a checkpoint with the larger value is the better one.
    """

    higher_is_better: ClassVar[bool]

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What one batch adds: a float64 vector on the outputs' device, of one length for all batches of a model."""
        ...

    def value(self, sums: Tensor) -> float:
        """The metric of everything that was added up; NaN where nothing was."""
        ...


TRAINING_METRICS: Registry[type[TrainingMetric]] = registries.TRAINING_METRICS


def ratio(part: Tensor, whole: Tensor) -> float:
    """`part / whole`; NaN where `whole` is 0."""
    return float(part / whole) if whole else float("nan")


def hits(outputs: Tensor, targets: Tensor, ranked: int, ignored: int) -> Tensor:
    """Labels among the `ranked` highest class scores, and labels that count, as two float64 sums."""
    labels, counted = class_labels(outputs, targets, ignored)
    best = outputs.topk(min(ranked, outputs.shape[1]), dim=1).indices
    found = (best == labels.unsqueeze(1)).any(1) & counted
    return torch.stack([found.sum(), counted.sum()]).double()


def class_labels(outputs: Tensor, targets: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """The labels (N, ...) for the class scores `outputs` (N, classes, ...), and which of them are not `ignored`.

    `targets`: these labels as whole numbers, or probabilities of the outputs' shape, whose highest is the label. Raises
    UsageError for other shapes, and for outputs that are not scores of two or more classes.
    """
    if outputs.ndim < 2 or outputs.shape[1] < 2:  # noqa: PLR2004 - N, classes
        raise UsageError(
            f"outputs of shape {tuple(outputs.shape)} are not scores of two or more classes (N, classes, ...). For "
            "labels that are true or not set task to multilabel, for numbers to regression, or name other metrics"
        )
    labels = (outputs.shape[0], *outputs.shape[2:])
    if tuple(targets.shape) != (outputs.shape if targets.is_floating_point() else labels):
        given = f"{str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}"
        raise UsageError(
            f"the classes of outputs of shape {tuple(outputs.shape)} are compared with labels of shape {labels}, whole "
            f"numbers, or with probabilities of the outputs' shape; the targets are {given}"
        )
    if targets.is_floating_point():
        highest = targets.argmax(1)
        return highest, torch.ones_like(highest, dtype=torch.bool)
    return targets, targets != ignored


def matching(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets of a regression as float64 of one shape (N, values); raises UsageError for other shapes."""
    if outputs.shape != targets.shape or not outputs.ndim:
        raise UsageError(
            f"a regression compares outputs of shape {tuple(outputs.shape)} with targets of shape "
            f"{tuple(targets.shape)}; give targets of the outputs' shape"
        )
    count = outputs.shape[0]
    return outputs.double().reshape(count, -1), targets.double().reshape(count, -1)


def several_labels(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of several labels at once, and which are true (targets above one half), of shape (samples, labels).

    `outputs` and `targets` have one shape, (N, labels, ...), whose further positions count as samples, or (N,) for a
    single label. Raises UsageError where the targets have another shape than the outputs.
    """
    if outputs.shape != targets.shape or not outputs.ndim:
        raise UsageError(
            f"several labels at once compare outputs of shape {tuple(outputs.shape)} with targets of shape "
            f"{tuple(targets.shape)}; give one target, 0 or 1, for each output"
        )
    labels = outputs.shape[1] if outputs.ndim > 1 else 1
    scores, true = (
        values.reshape(len(values), labels, -1).movedim(1, -1).reshape(-1, labels) for values in (outputs, targets)
    )
    return scores, true > 0.5  # noqa: PLR2004 - a label is 0 or 1
