"""Criterion `magnitude`: large weights survive.

    score_j = |w_j|          w: the weight that its layer multiplies with

Layers with a large initialization are favoured over those with a small one; `scope` "layer" takes that away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from n2nsurgery.core.validation import require_choice
from n2nsurgery.graph.used_weight import used_weight
from n2nsurgery.masks.criterion import SCOPES, Needs
from n2nsurgery.masks.scoring.context import ScoreContext, weight_values


@dataclass(frozen=True, kw_only=True)
class Magnitude:
    """`scope`: the largest of all layers together (`global`), or the same density in each `layer`."""

    scope: str = "global"

    needs: ClassVar[Needs] = "weights"
    rounds: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UnknownNameError for an unknown scope."""
        require_choice("scope", self.scope, SCOPES)

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """The absolute values of the weights."""
        scores = {}
        for name, value in weight_values(context).items():
            used = used_weight(context.module, name)
            scores[name] = (value if used is None else used).abs()
        return scores


MEMBER = Magnitude
