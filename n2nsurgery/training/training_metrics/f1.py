"""Training metric `f1`: of several labels at once, in [0, 1].

    2 TP / (2 TP + FP + FN)

counted over all labels of all samples (micro average).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.core.validation import is_number, require
from n2nsurgery.training.training_metrics import ratio, several_labels


@dataclass(frozen=True, kw_only=True)
class F1:
    """`threshold`: a label is predicted where the output is above it; 0 is a probability of one half."""

    threshold: float = 0.0

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise UsageError for a threshold that is not a number."""
        require(is_number(self.threshold), "threshold", self.threshold, "a finite number")

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(TP, predicted, true); `targets` of the outputs' shape, true where above one half; else UsageError."""
        scores, true = several_labels(outputs, targets)
        predicted = scores > self.threshold
        return torch.stack([(predicted & true).sum(), predicted.sum(), true.sum()]).double()

    def value(self, sums: Tensor) -> float:
        """The F1 score; NaN where nothing is predicted and nothing is true."""
        return ratio(2 * sums[0], sums[1] + sums[2])


MEMBER = F1
