"""Criterion `force` (foresight connection sensitivity): weights to which the loss of the PRUNED network is sensitive.

    score_j = |w_j * dL/d(c w)_j|   at the mask c of the round before, for kept and for pruned weights

in `rounds` rounds, which keep n (k/n)^(t/rounds) of n weights in round t = 1, 2, ...; k is the count asked for. Pruned
weights are scored too, and come back where their score is high. So a layer that scoring once would empty is seen to
matter while it still passes a signal.
Source: de Jorge et al. 2021, "Progressive Skeletonization: Trimming more fat from a network at initialization", section
4, equation 5 and algorithm 1 (FORCE), with the exponential schedule. Their code draws new batches for each round; here
every round scores on the same ones.
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
class Force:
    """`rounds` >= 1: steps of the schedule; one is SNIP. `scope` and `mode`: as of `snip`."""

    rounds: int = 60
    scope: str = "global"
    mode: str = "train"

    needs: ClassVar[Needs] = "batches"
    revives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown scope or mode, UsageError for fewer than one round."""
        require_choice("scope", self.scope, SCOPES)
        require_choice("mode", self.mode, MODES)
        if self.rounds < 1:
            raise UsageError(f"is {self.rounds}; FORCE needs at least 1", field="rounds", joint=" ")

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """Sensitivities which sum to 1, of pruned weights too; UsageError where no weight has any."""
        return sensitivities(context, cast("Mode", self.mode))


MEMBER = Force
