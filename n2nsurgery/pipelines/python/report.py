"""n2nsurgery.report and n2nsurgery.diff: how well networks are connected, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from torch import nn

from n2nsurgery.connectivity.graph.report_config import ReportConfig, ReportOptions
from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.connectivity.report.report import ConnectivityReport
from n2nsurgery.connectivity.report.report import report as report_of
from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import ensure_writable
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.pipelines.connectivity.report import FORMS, write_report
from n2nsurgery.surgery.pruned_model import PrunedModel

Network = PrunedModel | nn.Module | str | Path


@keywords_of(ReportConfig, ReportOptions)
def report(  # noqa: PLR0913 - the options of the command
    model: Network,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    reference: Network | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    allow_import: bool = False,
    last: bool = False,
    **options: Unpack[ReportOptions],
) -> ConnectivityReport:
    """How well `model` is connected, against `reference` or else against its own dense form.

    `model`: a pruned model, a module (with `example_inputs`), the folder of an artifact or a run (with `last` its
    newest weights), an .onnx file, or a model by name. `output`: a file for the page (.html) or the document (.json).
    `options`: what makes an edge, and `max_nodes`; the fields of ReportConfig. Raises UsageError where the file exists
    and `overwrite` is false, where both networks do not have the same channels, and for more than `max_nodes` of them;
    UnknownNameError for an unknown option; and the errors of reading a network.

        n2nsurgery.report(pruned, output="mine.html").headline
    """
    rules = _rules(options, "report")
    path = Path(output) if output is not None else None
    if path is not None:
        if path.suffix.lower() not in FORMS:
            raise UsageError(f"output is '{path}'; it must end in {' or '.join(FORMS)}")
        ensure_writable(path, overwrite=overwrite)
    shared: dict[str, Any] = {
        "options": rules.options, "max_nodes": rules.max_nodes, "allow_import": allow_import,
    }  # fmt: skip
    subject = subject_of(model, example_inputs=example_inputs, last=last, **shared)
    other = subject.dense_reference
    if reference is not None:
        other = subject_of(reference, example_inputs=example_inputs, **shared)
    found = report_of(subject, other)
    if path is not None:
        write_report(path, found, subject, other, overwrite=overwrite)
    return found


@keywords_of(ReportConfig, ReportOptions)
def diff(
    first: Network,
    second: Network,
    *,
    example_inputs: Any = None,  # noqa: ANN401
    allow_import: bool = False,
    **options: Unpack[ReportOptions],
) -> ConnectivityDifference:
    """What differs between the connectivity of two networks, layer by layer; arguments and errors as for `report`."""
    rules = _rules(options, "diff")
    one, other = (
        subject_of(
            network,
            example_inputs=example_inputs,
            options=rules.options,
            max_nodes=rules.max_nodes,
            allow_import=allow_import,
        )
        for network in (first, second)
    )
    return difference(one, other)


def _rules(options: ReportOptions, function: str) -> ReportConfig:
    require_known(options, ReportOptions, function)
    return ReportConfig(**options)
