"""GraphRequest: a network by name, folder or file, and how it is turned into a graph."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.core.progress import SILENT, Progress


@dataclass(frozen=True, kw_only=True)
class GraphRequest(ReportConfig):
    """Which network to turn into a graph, and how.

    `model`: a name as for apply, the folder of an artifact or of a run (its best weights, or with `last` its newest),
    or an .onnx file; `num_classes` and `input_size` (of one sample) are for names. How it is turned into a graph is
    said as in a ReportConfig, whose errors are raised.
    """

    model: str
    allow_import: bool = False
    last: bool = False
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
    seed: int = 0


def read_subject(request: GraphRequest, progress: Progress = SILENT) -> Subject:
    """The graphs of the network that `request` names; raises what its reading raises, and UsageError beyond a bound."""
    from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of  # only reading needs torch

    return subject_of(
        request.model,
        options=request.options,
        max_nodes=request.max_nodes,
        allow_import=request.allow_import,
        last=request.last,
        num_classes=request.num_classes,
        input_size=request.input_size,
        seed=request.seed,
        progress=progress,
    )
