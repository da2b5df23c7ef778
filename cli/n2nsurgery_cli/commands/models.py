"""`n2nsurgery models`: the names that apply and inspect take."""

from __future__ import annotations

from typing import Annotated

import typer

from n2nsurgery_cli import completion, options
from n2nsurgery_cli.session import session


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="glob, or a regular expression after re:", autocompletion=completion.models)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """List the models known by name, one a line."""
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.core.names import select
        from n2nsurgery.models.catalog import list_models

        names = list_models()
        names = select(pattern, names, kind="model") if pattern else names

    from n2nsurgery_cli.console.output import draw_models, show

    show({"models": list(names)}, draw_models, as_json=json, quiet=False)
