"""Loss `cross-entropy`: of class scores against class labels or class probabilities.

    -sum_c t_c log softmax(outputs)_c,   t = (1 - s) target + s / classes

with the label smoothing s, averaged over samples and positions. With class weights the mean over labels is weighted,
as torch.nn.functional.cross_entropy has it.
Source of the smoothing: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import at_least, require, within


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """`label_smoothing` in [0, 1). `class_weights`: one for each class. `ignore_index`: a label that does not count."""

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    ignore_index: int = -100

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(within(self.label_smoothing, 0, 1), "loss.label_smoothing", self.label_smoothing, "in [0, 1)")
        weights = self.class_weights or ()
        holds = self.class_weights is None or (any(weights) and all(at_least(weight, 0) for weight in weights))
        require(holds, "loss.class_weights", self.class_weights, "numbers from 0, not all 0, or left out")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over labels that count; `outputs` (N, classes, ...), `targets` (N, ...) or of the outputs' shape.

        Where no label counts, which includes those of classes of weight 0, it is 0 with gradients of zero.

        Raises UsageError where the shapes do not fit, where the number of class weights is not that of the classes, and
        for a label that is not a class. Labels on a GPU are not looked at, since every step would have to wait for it.
        """
        _require_targets(outputs, targets, self.ignore_index)
        weights = None
        if self.class_weights is not None:
            if len(self.class_weights) != outputs.shape[1]:
                raise UsageError(
                    f"loss.class_weights has {len(self.class_weights)} numbers; give one for each of the "
                    f"{outputs.shape[1]} classes"
                )
            weights = outputs.new_tensor(self.class_weights)
        none = self.counted(targets) == 0  # the mean of nothing; a GPU need not be asked whether it is
        if weights is not None:
            weights = torch.where(none, 1.0, weights)  # the gradient would be 0 / 0
        loss = functional.cross_entropy(
            outputs, targets, weight=weights, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing
        )
        return loss.masked_fill(none, 0.0)

    def counted(self, targets: Tensor) -> Tensor:
        """The mean weight of the labels as float64: 1 where all of them count alike, 0 where none does."""
        if targets.is_floating_point():
            return targets.new_ones((), dtype=torch.float64)
        counts = (targets != self.ignore_index).double()
        if self.class_weights is not None:
            places = targets.long().clamp(0, len(self.class_weights) - 1)
            counts = counts * counts.new_tensor(self.class_weights)[places]
        return counts.mean()


def _require_targets(outputs: Tensor, targets: Tensor, ignored: int) -> None:
    if outputs.ndim < 2:  # noqa: PLR2004 - N, classes
        raise UsageError(
            f"loss cross-entropy compares class scores (N, classes, ...) with labels; the outputs have shape "
            f"{tuple(outputs.shape)}. Give a score to each class, or take the loss bce-with-logits"
        )
    labels = (outputs.shape[0], *outputs.shape[2:])
    if targets.is_floating_point():
        if targets.shape != outputs.shape:
            raise UsageError(
                f"targets of type {str(targets.dtype).removeprefix('torch.')} are probabilities, of the outputs' shape "
                f"{tuple(outputs.shape)}; these have {tuple(targets.shape)}. Give probabilities, or whole numbers as "
                f"labels of shape {labels}"
            )
        return
    if targets.shape != labels:
        raise UsageError(
            f"loss cross-entropy compares outputs of shape {tuple(outputs.shape)} with labels of shape {labels}; the "
            f"targets have shape {tuple(targets.shape)}"
        )
    if targets.device.type == "cpu":
        _require_classes(targets, outputs.shape[1], ignored)


def _require_classes(labels: Tensor, classes: int, ignored: int) -> None:
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignored)]
    if wrong.numel():
        raise UsageError(
            f"a label is {int(wrong[0])}, and the model gives {classes} scores: labels go from 0 to {classes - 1}"
            f" ({wrong.numel():,} of the batch's {labels.numel():,} do not). Give the model an output for each class,"
            f" or leave such labels out with the loss option ignore_index (now {ignored})"
        )


MEMBER = CrossEntropy
