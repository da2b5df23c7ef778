"""`n2nsurgery report`: how well a network is connected, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("rules", ReportConfig)
def report(
    model: options.AnyModel,
    rules: Given,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|ARTIFACT|FILE",
            help="what to compare with; default: its own dense form",
            show_default=False,
            autocompletion=completion.networks,
        ),
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="write a page; default: NAME.report.html here")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="the file to write: .html or .json", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    allow_import: options.AllowImport = False,
    last: options.Last = False,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Say how well a network is connected: what is dead, what limits the heat, which layer is the bottleneck.

    Compares the graph of its channels with that of its own dense form, or of another network.
    """
    config = asdict(ReportConfig(**rules))
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.connectivity.graph_source import GraphRequest
        from n2nsurgery.pipelines.connectivity.report import run

        def request(name: str) -> GraphRequest:
            return GraphRequest(
                model=name,
                **config,
                allow_import=allow_import,
                last=last,
                num_classes=num_classes,
                input_size=options.input_size(input_size),
                seed=seed,
            )

        outcome = run(
            request(model),
            reference=request(reference) if reference is not None else None,
            html=html,
            output=output,
            overwrite=overwrite,
            progress=progress,
        ).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.report import draw_report

    show(outcome, draw_report, as_json=json, quiet=quiet)
