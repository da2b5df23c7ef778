"""What differs between the connectivity of two networks, layer by layer."""

from __future__ import annotations

from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.connectivity.report.report import Origin
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.pipelines.connectivity.graph_source import GraphRequest, GraphSource, graphs_of
from n2nsurgery.pipelines.connectivity.report import name_of


def run(
    a: GraphRequest,
    b: GraphRequest,
    *,
    graphs: GraphSource = graphs_of,
    progress: Progress = SILENT,
) -> ConnectivityDifference:
    """Compare the networks `a` and `b`: what they keep, what is alive, how far their masks and their heat agree."""
    found = []
    for index, request in enumerate((a, b)):
        progress(f"reading the channels of {name_of(request.model)}", 0.1 + 0.3 * index)
        found.append(graphs(request))
    progress("comparing", 0.7)
    first, second = found
    return difference(
        Subject(graph=first.graph, skips=first.kinds),
        Subject(graph=second.graph, skips=second.kinds),
        a_name=Origin(name=name_of(a.model), origin=first.origin),
        b_name=Origin(name=name_of(b.model), origin=second.origin),
    )
