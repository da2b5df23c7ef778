"""Training metric `mean-iou`: the mean intersection over union of a segmentation, in [0, 1].

    mean over classes of  |predicted and true| / |predicted or true|

over the classes that are predicted or true anywhere. Source: Everingham et al. 2010, "The PASCAL visual object classes
challenge", section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.training.training_metrics import class_labels


@dataclass(frozen=True, kw_only=True)
class MeanIou:
    """`ignore_index`: a label that does not count."""

    ignore_index: int = -100

    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Intersections, then unions, of each class; `outputs` and `targets` as for `class_labels`, with its errors."""
        labels, counted = class_labels(outputs, targets, self.ignore_index)
        classes = outputs.shape[1]
        predicted, labels = outputs.argmax(1)[counted], labels[counted]
        both = _count(predicted[predicted == labels], classes)
        return torch.cat([both, _count(predicted, classes) + _count(labels, classes) - both])

    def value(self, sums: Tensor) -> float:
        """The mean over classes whose union is not empty; NaN where there is none."""
        both, union = sums.reshape(2, -1)
        return float((both[union > 0] / union[union > 0]).mean())


def _count(labels: Tensor, classes: int) -> Tensor:
    """How often each class occurs; by addition of ones, which has a deterministic form on every device."""
    return (labels.unsqueeze(0) == torch.arange(classes, device=labels.device).unsqueeze(1)).sum(1).double()


MEMBER = MeanIou
