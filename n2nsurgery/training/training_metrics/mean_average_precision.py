"""Training metric `mean-average-precision`: of several labels at once, in [0, 1].

    AP = sum_n (R_n - R_{n-1}) P_n

over the thresholds n from the highest score down, with the precision P_n and the recall R_n of all samples at or above
it; then the mean over the labels that are true anywhere. Samples of equal score count together, as in scikit-learn's
`average_precision_score`.

Scores are compared after rounding to `bins` steps between -16 and 16, as logits: a probability of 1e-7 is -16. Fixed
steps make the metric a function of sums, which batches and processes add up; torchmetrics' `thresholds` do the same.
Source: Everingham et al. 2010, "The PASCAL visual object classes challenge", section 4.2, without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.core.validation import is_count, require
from n2nsurgery.training.training_metrics import several_labels

_LIMIT = 16.0  # logits beyond it share the outermost steps


@dataclass(frozen=True, kw_only=True)
class MeanAveragePrecision:
    """`bins`: steps into which scores are rounded, at least 2; twice as many sums for each label."""

    bins: int = 512

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise UsageError for fewer than two steps."""
        require(is_count(self.bins, 2), "bins", self.bins, "a whole number from 2")

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """True, then all samples of each label and step; `outputs` and `targets` as for `several_labels`.

        Raises UsageError where their shapes differ.
        """
        scores, true = several_labels(outputs, targets)
        labels = true.shape[1]
        step = ((scores + _LIMIT) * (self.bins / (2 * _LIMIT))).long().clamp(0, self.bins - 1)
        place = (step + self.bins * torch.arange(labels, device=step.device)).flatten()
        sums = torch.zeros(2, labels * self.bins, dtype=torch.float64, device=step.device)
        sums[0].index_add_(0, place, true.flatten().double())
        sums[1].index_add_(0, place, torch.ones_like(place, dtype=torch.float64))
        return sums.flatten()

    def value(self, sums: Tensor) -> float:
        """The mean over labels that are true anywhere; NaN where none is."""
        true, seen = sums.reshape(2, -1, self.bins).flip(-1).cumsum(-1)
        positives = true[:, -1:]
        gained = true.diff(dim=-1, prepend=torch.zeros_like(positives))
        found = (gained * true / seen.clamp(min=1)).sum(-1) / positives.squeeze(-1)
        return float(found[positives.squeeze(-1) > 0].mean())


MEMBER = MeanAveragePrecision
