"""n2nsurgery.report and n2nsurgery.diff: how well networks are connected, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from n2nsurgery.connectivity.graph.graph_options import DEFAULT, GraphOptions
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES
from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.connectivity.report.report import ConnectivityReport
from n2nsurgery.connectivity.report.report import report as report_of
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import ensure_writable
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.pipelines.connectivity.report import FORMS, write_report
from n2nsurgery.surgery.pruned_model import PrunedModel

Network = PrunedModel | nn.Module | str | Path


def report(  # noqa: PLR0913 - the options of the command
    model: Network,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    reference: Network | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    options: GraphOptions = DEFAULT,
    max_nodes: int = MAX_NODES,
    allow_import: bool = False,
    last: bool = False,
) -> ConnectivityReport:
    """How well `model` is connected, against `reference` or else against its own dense form.

    `model`: a pruned model, a module (with `example_inputs`), the folder of an artifact or a run (with `last` its
    newest weights), an .onnx file, or a model by name. `output`: a file for the page (.html) or the document (.json).
    `options`: what makes an edge. Raises UsageError where the file exists and `overwrite` is false, where both networks
    do not have the same channels, and for more than `max_nodes` of them; and the errors of reading a network.

        n2nsurgery.report(pruned, output="mine.html").headline
    """
    path = Path(output) if output is not None else None
    if path is not None:
        if path.suffix.lower() not in FORMS:
            raise UsageError(f"output is '{path}'; it must end in {' or '.join(FORMS)}")
        ensure_writable(path, overwrite=overwrite)
    shared: dict[str, Any] = {"options": options, "max_nodes": max_nodes, "allow_import": allow_import}
    subject = subject_of(model, example_inputs=example_inputs, last=last, **shared)
    other = subject.dense_reference
    if reference is not None:
        other = subject_of(reference, example_inputs=example_inputs, **shared)
    found = report_of(subject, other)
    if path is not None:
        write_report(path, found, subject, other, overwrite=overwrite)
    return found


def diff(  # noqa: PLR0913 - the options of the command
    first: Network,
    second: Network,
    *,
    example_inputs: Any = None,  # noqa: ANN401
    options: GraphOptions = DEFAULT,
    max_nodes: int = MAX_NODES,
    allow_import: bool = False,
) -> ConnectivityDifference:
    """What differs between the connectivity of two networks, layer by layer; arguments and errors as for `report`."""
    one, other = (
        subject_of(
            network, example_inputs=example_inputs, options=options, max_nodes=max_nodes, allow_import=allow_import
        )
        for network in (first, second)
    )
    return difference(one, other)
