"""Criteria: what decides which weights survive.

A pattern criterion draws a mask for a given count; a score criterion gives every weight a score. How many weights
survive is never the criterion's business.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.config.members import make_member
from n2nsurgery.core.registry import Registry
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.allocations import AllocationRule
from n2nsurgery.masks.scoring.context import ScoreContext

Needs = Literal["nothing", "weights", "inputs", "batches"]
"""What a criterion looks at: nothing, the weights, the inputs' shapes too, or real batches."""

SCOPES = ("global", "layer")


@runtime_checkable
class PatternCriterion(Protocol):
    """Draws masks; `allocation` is the rule by which the count is divided among the layers, by name or as an object.

    A strict pattern can keep only multiples of its `step` in a weight; others have step 1.
    """

    needs: ClassVar[Needs]

    @property
    def allocation(self) -> AllocationRule:
        """The allocation rule."""

    def step(self, weight: PrunableWeight) -> int:
        """What the kept count of `weight` must be a multiple of; it divides the weight's size."""

    def pattern(self, weight: PrunableWeight, count: int, generator: np.random.Generator) -> Tensor:
        """A boolean tensor of the weight's shape with exactly `count` True."""


@runtime_checkable
class ScoreCriterion(Protocol):
    """Scores weights; the highest are kept.

    `scope`: over all layers together (`global`), or in each `layer` the same density. `rounds`: how often the score
    is computed again on what is left, at exponentially falling density. With a class attribute `revives = True`,
    weights that a round has pruned take part in the next one; else they stay pruned.
    """

    needs: ClassVar[Needs]

    @property
    def scope(self) -> str:
        """One of SCOPES."""

    @property
    def rounds(self) -> int:
        """Number of rounds, at least 1."""

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """A score for every weight of the context, by parameter name, in the parameter's shape."""


Criterion = PatternCriterion | ScoreCriterion

CRITERIA: Registry[type[Any]] = registries.CRITERIA


def make_criterion(name: str, **options: object) -> Criterion:
    """The criterion called `name` (or by an alias: rp, csp) with its hyper-parameters.

    An `allocation` or `granularity` may be an object in place of a name. Raises UnknownNameError for an unknown
    name or option, UsageError for a value of another type or out of range; the error's field is the option.
    """
    objects = {
        part: value
        for part in ("allocation", "granularity")
        if (value := options.get(part)) is not None and not isinstance(value, str)
    }
    plain = {option: value for option, value in options.items() if option not in objects}
    made: Criterion = make_member(CRITERIA, name, plain, objects)
    return made
