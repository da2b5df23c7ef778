"""Training metric `macro-f1`: of several labels at once, in [0, 1].

    mean over labels of  2 TP / (2 TP + FP + FN)

over the labels that are predicted or true anywhere; `f1` counts all labels together instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.training.training_metrics import several_labels


@dataclass(frozen=True, kw_only=True)
class MacroF1:
    """`threshold`: a label is predicted where the output is above it; 0 is a probability of one half."""

    threshold: float = 0.0

    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """TP, then predicted + true, of each label; `outputs` and `targets` (N, labels, ...), or (N,) for one label.

        A label is true where its target is above one half. Raises UsageError where the shapes differ.
        """
        scores, true = several_labels(outputs, targets)
        predicted = scores > self.threshold
        return torch.cat([(predicted & true).sum(0), predicted.sum(0) + true.sum(0)]).double()

    def value(self, sums: Tensor) -> float:
        """The mean over labels that occur; NaN where none does."""
        hits, seen = sums.reshape(2, -1)
        return float((2 * hits[seen > 0] / seen[seen > 0]).mean())


MEMBER = MacroF1
