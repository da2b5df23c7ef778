"""Regression: mean absolute error, root of the mean square error, and the coefficient of determination.

Over all values y of the targets and their predictions p:

    mae   mean |p - y|
    rmse  sqrt(mean (p - y)^2)
    r2    1 - sum (p - y)^2 / sum (y - m)^2,  m the mean of y over samples, for each output of its own

r2 of several outputs is that of the sums over outputs. It is 0 where the targets do not vary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Regression:
    """`mae` and `rmse` in the unit of the targets, lower is better; `r2` at most 1, higher is better."""

    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")
    lower_is_better: ClassVar[frozenset[str]] = frozenset({"rmse", "mae"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean square error."""
        return functional.mse_loss(*_matching(outputs, targets))

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Samples, |p - y|, (p - y)^2, then y and y^2 of each output: float64 (3 + 2 outputs,)."""
        predicted, true = (values.double().flatten(1) for values in _matching(outputs, targets))
        error = predicted - true
        count = error.new_tensor([len(error)])
        return torch.cat(
            [count, error.abs().sum()[None], error.square().sum()[None], true.sum(0), true.square().sum(0)]
        )

    def values(self, sums: Tensor) -> dict[str, float]:
        """The metrics of added-up sums."""
        count, absolute, square = sums[:3].tolist()
        total, squares = sums[3:].view(2, -1)
        spread = float((squares - total.square() / count).sum())
        constant = spread <= 1e-12 * float(squares.sum())  # what rounding leaves of a difference of equal sums
        values = count * len(total)
        return {
            "rmse": math.sqrt(square / values),
            "mae": absolute / values,
            "r2": 0.0 if constant else 1 - square / spread,
        }


def _matching(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both as floats of one shape (N, ...); outputs (N, 1) go with targets (N,). Raises UsageError."""
    shaped = outputs.reshape(targets.shape) if outputs.numel() == targets.numel() else outputs
    if shaped.shape != targets.shape or shaped.shape[0] != outputs.shape[0]:
        raise UsageError(
            f"regression needs outputs and targets of one shape; they have {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}"
        )
    columns = shaped[:, None] if shaped.ndim == 1 else shaped
    return columns, targets.to(outputs.dtype).reshape(columns.shape)


MEMBER = Regression
