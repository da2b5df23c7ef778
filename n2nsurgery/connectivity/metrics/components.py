"""Metric `components`: into how many parts the network falls.

Two channels are in one component where edges of positive conductance join them, whatever their direction; found by
graph search. A channel without any edge is isolated. For t -> inf the heat signature is the mean of A over each
component (N2NSkip paper, section 3.2), so this is all that saturated heat can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.measures.measurement import Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class ComponentCount:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """Numbers of nodes, edges and components, isolated nodes, size of the giant component."""
        parts, giant = subject.parts, int(np.count_nonzero(subject.parts.giant))
        counts = {
            "nodes": (subject.graph.nodes, "channels", "Channels of the input and of all weighted layers"),
            "edges": (subject.graph.edges, "edges", "Connected pairs of channels, identity edges included"),
            "negligible_edges": (
                subject.operator.negligible_edges,
                "edges",
                "Edges too weak to conduct, 1e-14 of the largest degree",
            ),
            "components": (parts.count, "parts", "Parts between which no heat can flow"),
            "isolated": (parts.isolated, "channels", "Channels without any edge"),
            "giant": (giant, "channels", "Channels in the largest component"),
            "giant_share": (giant / subject.graph.nodes, "", "Share of the channels in the largest component"),
        }
        return Measurement(
            quantities={
                name: Quantity(value=value, unit=unit, meaning=meaning)
                for name, (value, unit, meaning) in counts.items()
            }
        )


MEMBER = ComponentCount
