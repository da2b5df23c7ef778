"""Criteria: what decides which weights survive.

A pattern criterion draws a mask for a given count; a score criterion gives every weight a score. How many weights
survive is never the criterion's business.
"""

from __future__ import annotations

from dataclasses import Field, fields, is_dataclass
from typing import Any, ClassVar, Literal, Protocol, get_type_hints, runtime_checkable

import numpy as np
from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.config.options import allowed_text, fits
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.core.registry import Registry
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.scoring.context import ScoreContext

Needs = Literal["nothing", "weights", "inputs", "batches"]
"""What a criterion looks at: nothing, the weights, the inputs' shapes too, or real batches."""

SCOPES = ("global", "layer")


@runtime_checkable
class PatternCriterion(Protocol):
    """Draws masks; `allocation` is the name of the rule by which the count is divided among the layers.

    A strict pattern can keep only multiples of its `step` in a weight; others have step 1.
    """

    needs: ClassVar[Needs]

    @property
    def allocation(self) -> str:
        """Name of the allocation rule."""

    def step(self, weight: PrunableWeight) -> int:
        """What the kept count of `weight` must be a multiple of; it divides the weight's size."""

    def pattern(self, weight: PrunableWeight, count: int, generator: np.random.Generator) -> Tensor:
        """A boolean tensor of the weight's shape with exactly `count` True."""


@runtime_checkable
class ScoreCriterion(Protocol):
    """Scores weights; the highest are kept.

    `scope`: over all layers together (`global`), or in each `layer` the same density. `rounds`: how often the score
    is computed again on what is left, at exponentially falling density.
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

    Raises UnknownNameError for an unknown name or option, UsageError for a value of another type or out of range; the
    error's field is the option.
    """
    member = CRITERIA.get(name)
    hints = get_type_hints(member)
    known = tuple(field.name for field in fields(member))
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of the criterion '{CRITERIA.canonical(name)}'", option, known, field=option)
        if not fits(hints[option], value):
            raise UsageError(f"is {value!r}; it must be {allowed_text(hints[option])}", field=option, joint=" ")
    made: Criterion = member(**options)
    return made


def described(criterion: Criterion) -> tuple[str, dict[str, float | bool | str], Criterion | None]:
    """Name and options of a criterion that is given as an object; and the object, unless a registry can make it again.

    An object of no registry is named by its class, `package.module:Class`. Options are the fields of a dataclass.
    """
    kind = type(criterion)
    options: dict[str, float | bool | str] = {}
    named: tuple[Field[Any], ...] = fields(kind) if is_dataclass(kind) else ()
    for each in named:
        value = getattr(criterion, each.name)
        options[each.name] = value if isinstance(value, float | bool | str | int) else repr(value)
    known = CRITERIA.name_of(criterion)
    return known or f"{kind.__module__}:{kind.__qualname__}", options, None if known else criterion
