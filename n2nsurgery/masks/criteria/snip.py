"""Criterion `snip` (CSP, connection sensitivity): weights whose removal changes the loss most survive.

    score_j = |g_j| / sum_i |g_i|,   g_j = dL(c * w) / dc_j at c = 1,  which is  w_j * dL/dw_j

with the gradient of the true weight, averaged over the mini-batches. Source: Lee et al. 2019, "SNIP: Single-shot
Network Pruning based on Connection Sensitivity", equations 3 to 6.

With more than one of `rounds` it is Iterative SNIP (de Jorge et al. 2021, section 4): scored again on what is left, at
densities d^(1/rounds), ..., d. `force` differs from it in that pruned weights may come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require_choice
from n2nsurgery.masks.criterion import SCOPES, Needs
from n2nsurgery.masks.scoring.context import MODES, Mode, ScoreContext
from n2nsurgery.masks.scoring.sensitivity import sensitivities


@dataclass(frozen=True, kw_only=True)
class Snip:
    """`scope`: over all layers together (`global`), or the same density in each `layer`.

    `mode`: `train` (BatchNorm by each batch, dropout seeded), `eval` (by its running statistics), or `warm-up` (eval
    with statistics taken from the scoring batches first). `rounds` >= 1: how often is scored.
    """

    scope: str = "global"
    mode: str = "train"
    rounds: int = 1

    needs: ClassVar[Needs] = "batches"

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown scope or mode, UsageError for fewer than one round."""
        require_choice("scope", self.scope, SCOPES)
        require_choice("mode", self.mode, MODES)
        if self.rounds < 1:
            raise UsageError(f"is {self.rounds}; SNIP needs at least 1", field="rounds", joint=" ")

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """Sensitivities which sum to 1; UsageError where no weight has any."""
        return sensitivities(context, cast("Mode", self.mode))


MEMBER = Snip
