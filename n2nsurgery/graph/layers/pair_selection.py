"""PairSelection: which pairs of layers are wanted for skips, as a value; importing it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Policy = Literal["overlapping", "blocks", "random", "all"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
Placement = Literal["avoid-residual", "two-blocks", "all"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
PAPER_LENGTH = 3


@dataclass(frozen=True, kw_only=True)
class PairSelection:
    """Which pairs are wanted.

    `length` is k for `overlapping` and `blocks` (ignored by `random` and `all`), `count` the number of random pairs.
    `include`/`exclude`: patterns over `source`, `target` or `source->target` layer names. `include_classifier`: output
    layers may be targets. `placement`: what to do at a target whose sum already holds a shortcut: `avoid-residual`
    leaves it alone, so that skips lead into the insides of residual blocks (in a network that has any, a target that no
    pair of `length` reaches takes one of a layer less); `two-blocks` takes, beside an identity, the pair that starts
    one block before it; `all` treats it as any other target. The policies `random` and `all` know no such rule.
    """

    policy: Policy = "overlapping"
    length: int = PAPER_LENGTH
    count: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_classifier: bool = False
    placement: Placement = "avoid-residual"
