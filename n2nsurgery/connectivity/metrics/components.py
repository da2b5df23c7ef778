"""Metric `components`: into how many parts the network falls.

Two channels are in one component where kept weights join them, whatever their direction; found by graph search. A
channel without any edge is isolated. A kept weight of value 0 connects, as in a head that starts at zero; it
conducts no heat. Edges too weak to conduct do not connect. For t -> inf the heat signature is the mean of A
over each component of the edges that conduct (N2NSkip paper, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.measures.measurement import SHARE, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class ComponentCount:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """Numbers of nodes, edges and components, isolated nodes, size of the giant component."""
        parts, giant = subject.kept_parts, int(np.count_nonzero(subject.kept_parts.giant))
        counts = {
            "nodes": (subject.graph.nodes, "channels", "Channels of the input and of all weighted layers"),
            "edges": (subject.graph.edges, "edges", "Connected pairs of channels, identity edges included"),
            "negligible_edges": (
                subject.operator.negligible_edges,
                "edges",
                "Edges too weak to conduct, 1e-14 of the largest degree",
            ),
            "zero_edges": (
                sum(len(targets) for targets, _ in subject.zero_edges),
                "edges",
                "Edges of which every kept weight has the value 0: they connect, and conduct no heat",
            ),
            "components": (parts.count, "parts", "Parts that no edge joins; those too weak to conduct join none"),
            "isolated": (parts.isolated, "channels", "Channels without any edge"),
            "giant": (giant, "channels", "Channels in the largest component"),
            "giant_share": (giant / subject.graph.nodes, SHARE, "Share of the channels in the largest component"),
        }
        return Measurement(
            quantities={
                name: Quantity(value=value, unit=unit, meaning=meaning)
                for name, (value, unit, meaning) in counts.items()
            }
        )


MEMBER = ComponentCount
