"""Training metric `exact-match`: the fraction of samples, in [0, 1], with every one of several labels right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.training.training_metrics import ratio, several_labels


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """`threshold`: a label is predicted where the output is above it; 0 is a probability of one half."""

    threshold: float = 0.0

    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(Samples that are right, samples); `targets` of the outputs' shape (N, ...), true where above one half.

        Raises UsageError for another shape.
        """
        scores, true = several_labels(outputs, targets)
        right = ((scores > self.threshold) == true).reshape(len(outputs), -1).all(1)
        return torch.stack([right.sum(), right.new_tensor(len(right), dtype=torch.int64)]).double()

    def value(self, sums: Tensor) -> float:
        """Right samples over samples."""
        return ratio(sums[0], sums[1])


MEMBER = ExactMatch
