"""ReportConfig: how a network is turned into the graph that a report is on; importing it needs no numpy.

Its fields are options of `n2nsurgery report` and `diff`, the report section of a recipe, and keyword arguments of
`n2nsurgery.report` and `n2nsurgery.diff`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from n2nsurgery.connectivity.graph.graph_options import (
    GRAPH,
    MAX_NODES,
    BatchNormRule,
    GraphOptions,
    IdentityRule,
    WeightRule,
)
from n2nsurgery.core.config.options import Range, option


class ReportOptions(TypedDict, total=False):
    """Every field of ReportConfig, for editors and type checkers."""

    conductance: WeightRule
    identity: IdentityRule
    batchnorm: BatchNormRule
    max_nodes: int


@dataclass(frozen=True, kw_only=True)
class ReportConfig(GraphOptions):
    """The conventions behind an edge, and the largest number of channels that is worked on.

    Raises UsageError, with the field, for values that no graph can be made by.
    """

    max_nodes: int = field(
        default=MAX_NODES,
        metadata=option("largest channel graph to build", metavar="N", group=GRAPH, within=Range(least=1)),
    )

    @property
    def options(self) -> GraphOptions:
        """The conventions alone."""
        return GraphOptions(conductance=self.conductance, identity=self.identity, batchnorm=self.batchnorm)
