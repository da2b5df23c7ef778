"""Criterion `snip` (CSP, connection sensitivity): weights whose removal changes the loss most survive.

    score_j = |g_j| / sum_i |g_i|,   g_j = dL(c * w) / dc_j at c = 1,  which is  w_j * dL/dw_j

with the gradient of the true weight, averaged over the mini-batches. Source: Lee et al. 2019, "SNIP: Single-shot
Network Pruning based on Connection Sensitivity", equations 3 to 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, float64

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require_choice
from n2nsurgery.masks.criterion import SCOPES, Needs
from n2nsurgery.masks.scoring.context import MODES, ScoreContext, gradients, over_batches, weight_values


@dataclass(frozen=True, kw_only=True)
class Snip:
    """`scope`: over all layers together (`global`), or the same density in each `layer`.

    `mode`: the network in `train` (BatchNorm by the batch's statistics, dropout seeded) or `eval` mode.
    """

    scope: str = "global"
    mode: str = "train"

    needs: ClassVar[Needs] = "batches"
    rounds: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown scope or mode."""
        require_choice("scope", self.scope, SCOPES)
        require_choice("mode", self.mode, MODES)

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """Sensitivities which sum to 1; UsageError where no weight has any."""
        values = {name: value.clone().requires_grad_() for name, value in weight_values(context).items()}
        leaves = list(values.values())
        sums = over_batches(context, values, lambda loss: gradients(loss, leaves), training=self.mode == "train")
        sensitivity = [(leaf.detach() * gradient).abs().float() for leaf, gradient in zip(leaves, sums, strict=True)]
        total = sum(float(part.sum(dtype=float64)) for part in sensitivity)
        if not total:
            raise UsageError(
                "no weight has any influence on the loss on the given data, as where the last layer starts at zero: "
                "initialize it otherwise, or take another criterion"
            )
        return {name: part / total for name, part in zip(values, sensitivity, strict=True)}


MEMBER = Snip
