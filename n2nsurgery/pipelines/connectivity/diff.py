"""What differs between the connectivity of two networks, layer by layer."""

from __future__ import annotations

from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.graph_source import read_subject


def run(a: GraphRequest, b: GraphRequest, *, progress: Progress = SILENT) -> ConnectivityDifference:
    """Compare the networks `a` and `b`: what they keep, what is alive, how far their masks and their heat agree.

    Raises the errors of reading a network (see `subject_of`).
    """
    first = read_subject(a, part_of(progress, 0, 0.4))
    second = read_subject(b, part_of(progress, 0.4, 0.7))
    progress("comparing", 0.7)
    return difference(first, second)
