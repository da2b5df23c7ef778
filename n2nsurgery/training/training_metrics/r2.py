"""Training metric `r2`: the coefficient of determination of a regression, at most 1.

    1 - sum (outputs - targets)^2 / sum (targets - m)^2

with m the mean of the targets over samples, for each output of its own; both sums go over all outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from n2nsurgery.training.training_metrics import matching

_ROUNDING = 1e-12  # of a sum of squares: less is what rounding leaves of targets that do not vary


@dataclass(frozen=True, kw_only=True)
class R2:
    """1 is perfect, 0 is as good as the mean of the targets."""

    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(Samples, squared errors, then sums and squares of each output's targets); as for `rmse`."""
        predicted, true = (values.flatten(1) for values in matching(outputs, targets))
        error = (predicted - true).square().sum()
        return torch.cat([torch.stack([true.new_tensor(len(true)), error]), true.sum(0), true.square().sum(0)])

    def value(self, sums: Tensor) -> float:
        """The coefficient; NaN where the targets do not vary."""
        count, error = sums[:2].tolist()
        total, squares = sums[2:].reshape(2, -1)
        spread = float((squares - total.square() / count).sum())
        return 1 - error / spread if spread > _ROUNDING * float(squares.sum()) else float("nan")


MEMBER = R2
