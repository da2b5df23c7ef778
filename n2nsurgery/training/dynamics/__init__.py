"""Dynamics: which weights are kept changes while a network is trained; one file each.

After certain steps a rule drops kept weights and grows others. How many are kept in all is a function of the step, so
the budget holds exactly at every moment, and nothing has to be stored but the masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.core.validation import above, is_count, require
from n2nsurgery.masks.counts.exact_topk import topk
from n2nsurgery.masks.patterns.exchange import grown_at_random, joined
from n2nsurgery.training.schedules import Span

Needs = Literal["weights", "gradients"]
"""What a rule looks at: kept weights, or the gradients of all weights, too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptWeight:
    """What is kept of one weight: `values` (kept,) at `places`, int64 indices into its `numel` entries, ascending.

    `gradient`: of all entries, (numel,), at the step that has just been taken; None for a rule that needs none. Where
    it is not finite it is zero. All lie on the CPU.
    """

    places: Tensor
    values: Tensor
    numel: int
    gradient: Tensor | None = None

    @property
    def kept(self) -> int:
        """Number of kept entries."""
        return self.places.numel()

    @property
    def free(self) -> int:
        """Number of the others."""
        return self.numel - self.kept


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When it happens: `step` steps of `span` are done. `kept`: how many weights are kept in all from now on."""

    step: int
    span: Span
    kept: int
    seed: int = 0

    def generator(self, name: str) -> np.random.Generator:
        """The randomness of the weight `name` at this moment."""
        return numpy_generator(self.seed, f"dynamics after step {self.step}", name)


Weights = Mapping[str, KeptWeight]
"""By parameter name."""


class Dynamics(Protocol):
    """A rule with its parameters as fields; a frozen dataclass.

    `keeps_counts`: whether every weight keeps its number; where not, several processes train dense meanwhile.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    needs: ClassVar[Needs]

    @property
    def keeps_counts(self) -> bool:
        """See above."""
        ...

    def is_due(self, step: int, span: Span) -> bool:
        """Whether kept weights change once `step` steps (from 1) of `span` are done."""
        ...

    def kept(self, start: int, step: int, span: Span) -> int:
        """How many weights are kept after `step` steps of a run that begins with `start`; never more than before."""
        ...

    def places(self, weights: Weights, moment: Moment) -> dict[str, Tensor]:
        """The places that are kept from now on, ascending, for every weight; exactly `moment.kept` in all."""
        ...


DYNAMICS: Registry[type[Dynamics]] = registries.DYNAMICS


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """When and how much is exchanged by rules that keep the number of weights; each adds what is grown.

    `fraction` in (0, 1): the part of a weight's kept entries that is exchanged at the start. `every`: steps between two
    exchanges, None for one after each epoch. `until` in (0, 1]: they end after this part of the steps; there is none
    after the last step. `decay`: the fraction stays constant, or falls to 0 in half a cosine.
    """

    needs: ClassVar[Needs] = "weights"
    fraction: float = 0.3
    every: int | None = None
    until: float = 1.0
    decay: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(above(self.fraction, 0) and self.fraction < 1, "dynamics.fraction", self.fraction, "in (0, 1)")
        counted = self.every is None or is_count(self.every, 1)
        require(counted, "dynamics.every", self.every, "a whole number from 1, or left out")
        require(above(self.until, 0) and self.until <= 1, "dynamics.until", self.until, "in (0, 1]")
        require(self.decay in {"constant", "cosine"}, "dynamics.decay", self.decay, "constant or cosine")

    @property
    def keeps_counts(self) -> bool:
        """Every weight keeps its number."""
        return True

    def is_due(self, step: int, span: Span) -> bool:
        """After every `every` steps, or every epoch, in the first part of the run."""
        return step % (self.every or span.steps_per_epoch) == 0 and step < self.until * span.steps

    def kept(self, start: int, step: int, span: Span) -> int:  # noqa: ARG002 - the protocol's
        """`start`."""
        return start

    def share(self, moment: Moment) -> float:
        """The part of the kept weights that is exchanged now."""
        if self.decay == "constant":
            return self.fraction
        return self.fraction * (1 + math.cos(math.pi * moment.step / (self.until * moment.span.steps))) / 2

    def count(self, weight: KeptWeight, moment: Moment) -> int:
        """How many entries of `weight` are exchanged now: no more than there are free places."""
        return min(round(self.share(moment) * weight.kept), weight.free)


def with_grown(weight: KeptWeight, grown: Tensor) -> Tensor:
    """The places of `weight` without its smallest entries, and `grown` in their stead; ties drop the later place."""
    remaining = topk(weight.values.abs(), weight.kept - grown.numel())
    return joined(weight.places[remaining], grown)


@dataclass(frozen=True, kw_only=True)
class RandomExchange(Exchange):
    """An exchange for places that were free before, drawn uniformly."""

    def places(self, weights: Weights, moment: Moment) -> dict[str, Tensor]:
        """What stays, and random places; every weight keeps its number."""
        return {
            name: with_grown(w, grown_at_random(w.places, w.numel, self.count(w, moment), moment.generator(name)))
            for name, w in weights.items()
        }
