"""Shares that fall with the cost of a weight: fewer multiply-accumulates at an equal number of weights.

    share_l = s_l (u_min / u_l)^p,   p in [0, 8]

with the share s_l of a rule, the multiply-accumulates u_l of one weight of item l and their least u_min. p = 0 is the
rule itself; the larger p is, the more weights lie where they are used least. Between two whole powers n and n + 1 the
two shares are mixed in a straight line, so that all is integers and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from n2nsurgery.masks.allocations import AllocationRule, allocation_of

PARTS = 1 << 20
"""Into how many parts the way from one whole power to the next is divided."""
STRONGEST = 8 * PARTS
_BITS = 80  # of a share before it is weighed: small ones keep their proportions


@dataclass(frozen=True, kw_only=True)
class ByCost:
    """The shares of `rule`, weighed by the `uses` of each item, in its order; `power` is p in 1 / PARTS.

    An item that is never used counts as one that is used once.
    """

    rule: AllocationRule
    uses: Sequence[int]
    power: int

    def shares(self, shapes: Sequence[tuple[int, ...]], total: int, generator: np.random.Generator | None) -> list[int]:
        """The rule's share of each item, weighed."""
        shares = allocation_of(self.rule).shares(shapes, total, generator)
        if not self.power:
            return shares
        uses = [max(1, each) for each in self.uses]
        least, (whole, part) = min(uses), divmod(self.power, PARTS)
        return [_weighed(share, least, each, whole, part) for share, each in zip(shares, uses, strict=True)]


def _weighed(share: int, least: int, uses: int, whole: int, part: int) -> int:
    """At least 1 where there is a share: a full item passes its surplus on to those left."""
    if not share:
        return 0
    exact: int = (share << _BITS) * least**whole * ((PARTS - part) * uses + part * least)
    scale: int = uses ** (whole + 1) * PARTS
    return max(1, exact // scale)
