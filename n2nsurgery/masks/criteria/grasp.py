"""Criterion `grasp` (gradient signal preservation): weights whose removal would weaken the gradient flow survive.

    score_j = w_j * (H g)_j,   g = dL/dw,   H = d2L/dw2,   L = cross-entropy(output / temperature)

The paper's S(-w) = -w * H g is to first order (half) the change of the squared gradient norm when the weight is
removed; it removes the weights with the HIGHEST S. The score here is -S, so that as everywhere the highest are kept.
Source: Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", equation 8 and
algorithm 1; temperature 200 from its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.core.validation import require_choice
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.scoring.context import MODES, Mode, ScoreContext, gradients, over_batches, weight_values


@dataclass(frozen=True, kw_only=True)
class Grasp:
    """`temperature` > 0 divides the outputs. `mode`: `train`, `eval` or `warm-up`, as of `snip`."""

    temperature: float = 200.0
    mode: str = "train"

    needs: ClassVar[Needs] = "batches"
    scope: ClassVar[str] = "global"
    rounds: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UsageError for a temperature that is not positive, UnknownNameError for an unknown mode."""
        if not 0 < self.temperature < inf:
            raise UsageError(f"is {self.temperature}; it must be positive and finite", field="temperature", joint=" ")
        require_choice("mode", self.mode, MODES)

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """Give w * H g for every weight; positive where removing the weight weakens the gradient flow.

        Raises UsageError for complex weights.
        """
        values = {name: value.clone().requires_grad_() for name, value in weight_values(context).items()}
        if complex_ones := [name for name, value in values.items() if value.is_complex()]:
            raise UsageError(
                f"{listed(complex_ones)} cannot be scored: GraSP is stated for real weights; take another criterion"
            )
        gradient = self._over_batches(context, values, along=None)
        curvature = self._over_batches(context, values, along=gradient)
        return {
            name: (value.detach() * product).float()
            for (name, value), product in zip(values.items(), curvature, strict=True)
        }

    def _over_batches(
        self, context: ScoreContext, values: dict[str, Tensor], along: list[Tensor] | None
    ) -> list[Tensor]:
        """The gradient of the mean loss, or the Hessian's product with the direction `along`."""
        leaves = list(values.values())

        def derivative(loss: Tensor) -> list[Tensor]:
            parts = gradients(loss, leaves, again=along is not None)
            if along is None:
                return parts
            slopes = [(part * step).sum() for part, step in zip(parts, along, strict=True)]
            return gradients(torch.stack(slopes).sum(), leaves)

        with sdpa_kernel(SDPBackend.MATH):  # attention can be differentiated twice only in its plain form
            return over_batches(context, values, derivative, mode=cast("Mode", self.mode), temperature=self.temperature)


MEMBER = Grasp
