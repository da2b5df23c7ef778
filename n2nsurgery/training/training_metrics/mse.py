"""Training metric `mse`: the mean squared error of a regression.

    mean (outputs - targets)^2

The mean is taken over all elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.training.training_metrics import matching, ratio


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError:
    """In the unit of the targets, squared; the smaller, the better."""

    higher_is_better: ClassVar[bool] = False

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(Squared errors, elements); `targets` of the outputs' shape. Raises UsageError for another shape."""
        predicted, true = matching(outputs, targets)
        return torch.stack([(predicted - true).square().sum(), true.new_tensor(true.numel())])

    def value(self, sums: Tensor) -> float:
        """The mean over elements."""
        return ratio(sums[0], sums[1])


MEMBER = MeanSquaredError
