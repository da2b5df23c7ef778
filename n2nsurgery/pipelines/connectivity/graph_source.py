"""GraphRequest: a network by name, folder or file, and how it is turned into a graph."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.progress import SILENT, Progress


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """Which network to turn into a graph, and how.

    `model`: a name as for apply, the folder of an artifact or of a run (its best weights, or with `last` its newest),
    or an .onnx file; `num_classes` and `input_size` (of one sample) are for names. `conductance`, `identity` and
    `batchnorm` name the conventions behind an edge. Raises UsageError where `max_nodes` is not positive.
    """

    model: str
    conductance: str = "l1"
    identity: str = "edges"
    batchnorm: str = "folded"
    max_nodes: int = MAX_NODES
    allow_import: bool = False
    last: bool = False
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bound."""
        if self.max_nodes < 1:
            raise UsageError(f"--max-nodes is {self.max_nodes}; it must be at least 1")


def read_subject(request: GraphRequest, progress: Progress = SILENT) -> Subject:
    """The graphs of the network that `request` names; raises what its reading raises, and UsageError beyond a bound."""
    from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of  # only reading needs torch

    options = GraphOptions(
        weight=request.conductance,  # type: ignore[arg-type]  # it checks its values itself
        identity=request.identity,  # type: ignore[arg-type]
        batchnorm=request.batchnorm,  # type: ignore[arg-type]
    )
    return subject_of(
        request.model,
        options=options,
        max_nodes=request.max_nodes,
        allow_import=request.allow_import,
        last=request.last,
        num_classes=request.num_classes,
        input_size=request.input_size,
        seed=request.seed,
        progress=progress,
    )
