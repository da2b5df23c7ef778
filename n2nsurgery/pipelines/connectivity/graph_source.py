"""From a GraphRequest to the graphs of its network."""

from __future__ import annotations

from typing import Any

from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest


def read_subject(request: GraphRequest, progress: Progress = SILENT, *, example_inputs: Any = None) -> Subject:  # noqa: ANN401
    """The graphs of the network that `request` names; raises what its reading raises, and UsageError beyond a bound.

    `example_inputs`: needed for a module.
    """
    from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of  # only reading needs torch

    return subject_of(
        request.model,
        example_inputs=example_inputs,
        options=request.options,
        max_nodes=request.max_nodes,
        allow_import=request.allow_import,
        last=request.last,
        num_classes=request.num_classes,
        input_size=request.input_size,
        seed=request.seed,
        progress=progress,
    )
