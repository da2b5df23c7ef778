"""Segmentation: mean intersection over union, and the accuracy of pixels.

With C the confusion matrix over all pixels (row: true class, column: predicted class):

    mean_iou        mean over classes of C_kk / (sum_j C_kj + sum_j C_jk - C_kk)     (classes that occur in neither
                                                                                      targets nor predictions left out)
    pixel_accuracy  sum_k C_kk / sum_jk C_jk

Outputs are scores (N, classes, H, W), targets class indices (N, H, W). Targets of 255, the void label of PASCAL VOC and
Cityscapes, count neither in the metrics nor in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError

VOID = 255


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """`mean_iou` and `pixel_accuracy` in [0, 1]; higher is better."""

    metrics: ClassVar[tuple[str, ...]] = ("mean_iou", "pixel_accuracy")
    lower_is_better: ClassVar[frozenset[str]] = frozenset()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the pixels that are not void."""
        return functional.cross_entropy(outputs, targets, ignore_index=VOID)

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The confusion matrix, row by row: float64 (classes^2,). Raises UsageError for targets out of range."""
        classes = outputs.shape[1]
        predicted = outputs.argmax(1)
        if predicted.shape != targets.shape:
            raise UsageError(
                f"segmentation needs one target for each pixel: outputs give {tuple(predicted.shape)}, targets have "
                f"{tuple(targets.shape)}"
            )
        counted = targets != VOID
        true = targets[counted]
        if true.numel() and not 0 <= int(true.min()) <= int(true.max()) < classes:
            raise UsageError(
                f"targets range from {int(true.min())} to {int(true.max())}; with {classes} classes they must be from "
                f"0 to {classes - 1}, or {VOID} where they do not count"
            )
        return torch.bincount(true * classes + predicted[counted], minlength=classes**2).double()

    def values(self, sums: Tensor) -> dict[str, float]:
        """The metrics of an added-up confusion matrix."""
        classes = round(sums.numel() ** 0.5)
        confusion = sums.view(classes, classes)
        right = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - right
        seen, total = union > 0, float(confusion.sum())
        return {
            "mean_iou": float((right[seen] / union[seen]).mean()) if bool(seen.any()) else 0.0,
            "pixel_accuracy": float(right.sum()) / total if total else 0.0,
        }


MEMBER = Segmentation
