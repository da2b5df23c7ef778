"""`n2nsurgery diff`: what differs between two networks."""

from __future__ import annotations

from typing import Annotated

import typer

from n2nsurgery.pipelines.connectivity.graph_request import DiffPageRequest, GraphRequest
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session

A_NETWORK = "MODEL|ARTIFACT|FILE"


@options_of("asked", GraphRequest)
@options_of("wanted", DiffPageRequest)
def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar=A_NETWORK, help="a network as for report", show_default=False, autocompletion=completion.networks
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar=A_NETWORK, help="the one to compare it with", show_default=False, autocompletion=completion.networks
        ),
    ],
    asked: Given,
    wanted: Given,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Compare two networks layer by layer.

    That is what they keep, what is dead, and how far their masks overlap.
    """
    page = DiffPageRequest(**wanted)
    requests = [GraphRequest(model=name, **asked) for name in (a, b)]
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.connectivity.diff import run

        outcome = run(
            *requests, html=page.html, output=page.output, overwrite=page.overwrite, progress=progress
        ).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.report import draw_diff

    show(outcome, draw_diff, as_json=json, quiet=quiet)
