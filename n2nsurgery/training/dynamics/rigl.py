"""Dynamics `rigl`: the smallest entries are exchanged for those whose gradient is largest.

    f(t) = alpha / 2 (1 + cos(pi t / T_end))        the fraction that is exchanged at step t

Drops by |w|, grows by the gradient's magnitude among places that were free before. The gradient of all weights is taken
at the steps of an exchange alone. With scope `global` all weights share one ranking: what drops is smallest relative to
the root mean square of its own weight's kept entries, and a weight or skip may win entries that another one loses.
Source: Evci et al. 2020, "Rigging the lottery: making all tickets winners", algorithm 1, with alpha = 0.3, an exchange
every 100 steps, and T_end at three quarters of the steps. There, an exchange takes the place of an optimizer step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from n2nsurgery.core.validation import require
from n2nsurgery.masks.counts.exact_topk import topk, topk_global
from n2nsurgery.masks.patterns.exchange import joined
from n2nsurgery.training.dynamics import Exchange, KeptWeight, Moment, Needs, Weights, with_grown


@dataclass(frozen=True, kw_only=True)
class RiggedLottery(Exchange):
    """The fields of `Exchange`; `scope`: each weight keeps its number (`layer`), or all together do (`global`)."""

    needs: ClassVar[Needs] = "gradients"
    every: int | None = 100
    until: float = 0.75
    decay: Literal["constant", "cosine"] = "cosine"
    scope: Literal["layer", "global"] = "layer"

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        super().__post_init__()
        require(self.scope in {"layer", "global"}, "dynamics.scope", self.scope, "layer or global")

    @property
    def keeps_counts(self) -> bool:
        """Whether every weight keeps its number."""
        return self.scope == "layer"

    def places(self, weights: Weights, moment: Moment) -> dict[str, Tensor]:
        """What stays, and the places with the largest gradients; ties by flat index."""
        if self.scope == "global":
            return self._among_all(weights, moment)
        return {
            name: with_grown(w, topk(_interest(w), self.count(w, moment)).nonzero()[:, 0])
            for name, w in weights.items()
        }

    def _among_all(self, weights: Weights, moment: Moment) -> dict[str, Tensor]:
        free = sum(weight.free for weight in weights.values())
        count = min(round(self.share(moment) * moment.kept), free)
        remaining = topk_global({name: _relative(w) for name, w in weights.items()}, moment.kept - count)
        grown = topk_global({name: _interest(w) for name, w in weights.items()}, count)
        return {name: joined(w.places[remaining[name]], grown[name].nonzero()[:, 0]) for name, w in weights.items()}


def _interest(weight: KeptWeight) -> Tensor:
    """The gradient's magnitude at free places, -inf at kept ones."""
    assert weight.gradient is not None  # the rule needs gradients
    return weight.gradient.abs().index_fill_(0, weight.places, -math.inf)


def _relative(weight: KeptWeight) -> Tensor:
    """The magnitude of kept entries over their root mean square; zeros where all are zero."""
    scale = weight.values.square().mean().sqrt() if weight.kept else weight.values.new_zeros(())
    return torch.where(scale > 0, weight.values.abs() / scale, 0.0)


MEMBER = RiggedLottery
