"""`n2nsurgery report`: how well a network is connected, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest, PageRequest
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", GraphRequest)
@options_of("wanted", PageRequest)
def report(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|ARTIFACT|FILE",
            help="a model as for apply, an artifact's folder, or an .onnx file; default: the newest artifact or run",
            show_default=False,
            autocompletion=completion.networks,
        ),
    ] = None,
    *,
    asked: Given,
    wanted: Given,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Say how well a network is connected, and what limits it.

    That is what is dead, what limits the heat, and which layer is the bottleneck. Compares the graph of its channels
    with that of its own dense form, or of another network.
    """
    checked, page = GraphRequest(model=model or "", **asked), PageRequest(**wanted)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.connectivity.report import run
        from n2nsurgery.pipelines.saved.run_folder import newest_result

        request = checked if model is not None else replace(checked, model=str(newest_result()))
        outcome = run(
            request,
            reference=replace(request, model=page.reference) if page.reference is not None else None,
            html=page.html,
            png=page.png,
            output=page.output,
            overwrite=page.overwrite,
            progress=progress,
        ).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.report import draw_report

    show(outcome, draw_report, as_json=json, quiet=quiet)
