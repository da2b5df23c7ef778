"""Metric `heat-limit`: which layers decide how long heat takes to settle, and where the last of it waits.

    share(b) = int_0^t v(2t - s)' L_b v(s) ds / (t v(t)' L v(t)),    v = S - S(inf),    t = t_sat

is the relative change of the settling time t_sat (N2NSkip paper, section 3.2, speaks of saturated heat) for a relative
change of the conductances of block b; see `bottleneck_shares`. The shares of all layers and of the identity edges add
up to 1. A layer with a large share is a bottleneck: connections that are added there speed the heat up most.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import SHARE, Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class HeatLimit:
    """No hyper-parameters: t_sat is the time at which all but 1e-3 of the heat has settled."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """The share of every layer and of the identity edges; None where no heat flows."""
        graph, limits = subject.graph, subject.limits
        shares: dict[str, float | None] = {layer.name: None for layer in graph.layers}
        identity = 0.0
        if limits.shares:
            found: defaultdict[str, float] = defaultdict(float)
            for block, share in zip(graph.blocks, limits.shares, strict=True):
                found[block.name if block.size else ""] += share
            identity = found.pop("", 0.0)
            shares |= found
        waiting = dict(zip([group.name for group in graph.groups], limits.waiting, strict=bool(limits.waiting)))
        return Measurement(
            quantities={
                "largest_share": Quantity(
                    value=max((share for share in shares.values() if share is not None), default=None),
                    unit=SHARE,
                    meaning="Largest share of a layer in what limits the heat",
                ),
                "stragglers": Quantity(
                    value=limits.stragglers, unit="channels", meaning="Channels in which the last heat waits to settle"
                ),
                "identity_share": Quantity(
                    value=identity, unit=SHARE, meaning="Share of the identity edges in what limits the heat"
                ),
            },
            columns={
                "heat_share": Column(
                    values=shares,
                    unit=SHARE,
                    meaning="How much sooner heat would settle, in percent, for each percent"
                    " that the layer's connections were stronger",
                ),
                "waiting": Column(
                    values={group.name: waiting.get(group.name) for group in graph.groups},
                    unit=SHARE,
                    meaning="Share of the layer in the heat that is still to settle at t_sat",
                ),
            },
        )


MEMBER = HeatLimit
