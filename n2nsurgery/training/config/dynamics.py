"""DynamicsConfig: by which rule kept weights change while they are trained; importing it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from n2nsurgery.core.config.options import COUNT, Range, check_options, option
from n2nsurgery.core.validation import require_choice
from n2nsurgery.registries import DYNAMICS
from n2nsurgery.training.config.member import made

if TYPE_CHECKING:
    from n2nsurgery.training.dynamics import Dynamics

_SHARE = Range(above=0, most=1)
_OWN = ("every", "fraction", "until", "final")


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """`name`: any registered rule. What is None is the rule's own; `options`: further ones, by name.

    `every`: steps between two changes. `fraction`: of the kept weights, how many are exchanged at first. `until`: the
    part of the run after which nothing changes. `final`: of gmp, the part of the weights kept at the start that is kept
    at the end. `fixed`: patterns of parameters and modules whose kept weights stay; those that are not trained stay
    anyway. Raises UsageError for values out of range.
    """

    name: str = field(metadata=option("any registered rule", registry=DYNAMICS))
    every: int | None = field(
        default=None, metadata=option("steps between two changes; default: the rule's own", within=COUNT)
    )
    fraction: float | None = field(
        default=None,
        metadata=option(
            "part of the kept weights that is exchanged at first; default: the rule's own",
            within=Range(above=0, below=1),
        ),
    )
    until: float | None = field(
        default=None,
        metadata=option("part of the run after which nothing changes; default: the rule's own", within=_SHARE),
    )
    final: float | None = field(
        default=None,
        metadata=option("of gmp: part of the weights kept at the start that is kept at the end", within=_SHARE),
    )
    fixed: tuple[str, ...] = field(
        default=(), metadata=option("patterns of parameters and modules whose kept weights stay")
    )
    options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("further options of the rule, by name")
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        require_choice("dynamics.name", self.name, DYNAMICS.names())
        check_options(self, "dynamics")

    def rule(self) -> Dynamics:
        """The rule; raises UnknownNameError for an option that it does not have, UsageError for a value it refuses."""
        given = {name: value for name in _OWN if (value := getattr(self, name)) is not None}
        rule: Dynamics = made(DYNAMICS, self.name, {**given, **self.options}, "dynamics")
        return rule
