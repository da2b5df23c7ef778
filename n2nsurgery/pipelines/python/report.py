"""n2nsurgery.report and n2nsurgery.diff: how well networks are connected, from Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.connectivity.report.report import ConnectivityReport
from n2nsurgery.connectivity.report.report import report as report_of
from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import is_there
from n2nsurgery.pipelines.connectivity import diff as diff_pipeline
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest, NetworkOptions
from n2nsurgery.pipelines.connectivity.graph_source import read_subject
from n2nsurgery.pipelines.connectivity.report import FORMS, write_report
from n2nsurgery.surgery.pruned_model import PrunedModel

AnyNetwork = PrunedModel | nn.Module | str | Path


@keywords_of(GraphRequest, NetworkOptions)
def report(
    model: AnyNetwork,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    reference: AnyNetwork | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    **options: Unpack[NetworkOptions],
) -> ConnectivityReport:
    """How well `model` is connected, against `reference` or else against its own dense form.

    `model`: a pruned model, a module (with `example_inputs`), the folder of an artifact or a run, an .onnx file, or a
    model by name. `output`: a file for the page (.html), the document (.json)
    or the plots (.png). `options`: the fields of GraphRequest,
    for both networks: what makes an edge, `max_nodes`, and how a network by name or folder is read. Raises UsageError
    where the file exists with another content and `overwrite` is false, where both networks do not have the same
    channels, and for more than `max_nodes` of them; UnknownNameError for an unknown option; and the errors of reading a
    network.

        n2nsurgery.report(pruned, output="mine.html").headline
    """
    request = _request(model, options, "report")
    path = _output(output, FORMS, overwrite=overwrite)
    subject = read_subject(request, example_inputs=example_inputs)
    other = subject.dense_reference
    if reference is not None:
        other = read_subject(replace(request, model=reference), example_inputs=example_inputs)
    found = report_of(subject, other)
    if path is not None:
        write_report(path, found, subject, other, overwrite=overwrite)
    return found


@keywords_of(GraphRequest, NetworkOptions)
def diff(
    first: AnyNetwork,
    second: AnyNetwork,
    *,
    example_inputs: Any = None,  # noqa: ANN401
    output: str | Path | None = None,
    overwrite: bool = False,
    **options: Unpack[NetworkOptions],
) -> ConnectivityDifference:
    """What differs between the connectivity of two networks, layer by layer; arguments and errors as for `report`.

    `output`: a file for a page on both (.html) or the document (.json).
    """
    request = _request(first, options, "diff")
    path = _output(output, diff_pipeline.FORMS, overwrite=overwrite)
    one, other = (
        read_subject(replace(request, model=network), example_inputs=example_inputs) for network in (first, second)
    )
    found = difference(one, other)
    if path is not None:
        diff_pipeline.write_diff(path, found, one, other, overwrite=overwrite)
    return found


def _output(output: str | Path | None, forms: tuple[str, ...], *, overwrite: bool) -> Path | None:
    """The file to write, which can be written or may be equal; raises UsageError."""
    if output is None:
        return None
    path = Path(output)
    if path.suffix.lower() not in forms:
        raise UsageError(f"output is '{path}'; it must end in {' or '.join(forms)}")
    is_there(path, overwrite=overwrite)
    return path


def _request(model: AnyNetwork, options: NetworkOptions, function: str) -> GraphRequest:
    require_known(options, NetworkOptions, function)
    return GraphRequest(model=model, **options)
