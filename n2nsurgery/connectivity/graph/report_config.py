"""ReportConfig: how a network is turned into the graph that a report is on; the report section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES
from n2nsurgery.core.config.options import Range, option


@dataclass(frozen=True, kw_only=True)
class ReportConfig(GraphOptions):
    """The conventions behind an edge, and the largest number of channels that is worked on.

    Raises UsageError, with the field, for values that no graph can be made by.
    """

    max_nodes: int = field(
        default=MAX_NODES, metadata=option("largest channel graph to build", metavar="N", within=Range(least=1))
    )

    @property
    def options(self) -> GraphOptions:
        """The conventions alone."""
        return GraphOptions(conductance=self.conductance, identity=self.identity, batchnorm=self.batchnorm)
