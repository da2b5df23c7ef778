"""`n2nsurgery models`: the names that apply and inspect take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.core.errors import UsageError
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.session import session


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="glob, or a regular expression after re:", autocompletion=completion.models)
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="try the models of six libraries instead, each in a process of its own")
    ] = False,
    chosen: Annotated[
        str | None, typer.Option("--filter", metavar="PATTERN", help="of --coverage: only these, like transformers:*")
    ] = None,
    seconds: Annotated[int, typer.Option(metavar="S", help="of --coverage: time for each model")] = 300,
    gigabytes: Annotated[int, typer.Option(metavar="GB", help="of --coverage: memory for each model")] = 8,
    export: Annotated[
        bool, typer.Option("--export/--no-export", help="of --coverage: write and compare an ONNX file of each, too")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="of --coverage: the page to write, in Markdown; rows of other models that it has stay",
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """List the models known by name, or try those of other libraries."""
    if coverage:
        _cover(
            chosen or pattern, seconds, gigabytes, output, export=export, json=json, quiet=quiet, verbose=verbose
        )  # fmt: skip
        return
    if chosen is not None or output is not None:
        raise UsageError("is an option of --coverage", field="filter" if chosen is not None else "output", joint=" ")
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.core.names import select
        from n2nsurgery.models.catalog import list_models

        names = list_models()
        names = select(pattern, names, kind="model") if pattern else names

    from n2nsurgery_cli.console.output import draw_models, show

    show({"models": list(names)}, draw_models, as_json=json, quiet=False)


def _cover(
    pattern: str | None,
    seconds: int,
    gigabytes: int,
    output: Path | None,
    *,
    export: bool,
    json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.core.files import write_text
        from n2nsurgery.coverage.catalogue import names
        from n2nsurgery.coverage.matrix import Limits, rows
        from n2nsurgery.coverage.table import page

        limits, chosen = Limits(seconds=seconds, gigabytes=gigabytes), names(pattern)
        before = output.read_text(encoding="utf-8") if output is not None and output.exists() else ""
        found = []
        for index, row in enumerate(rows(chosen, limits, export=export)):
            found.append(row)
            progress(f"{row.name}: {row.outcome}", (index + 1) / len(chosen))
            if output is not None:  # after each model: a run of hours may be stopped
                write_text(output, page(found, before))

    from n2nsurgery_cli.console.output import draw_coverage, show

    show({"coverage": [row.to_json() for row in found]}, draw_coverage, as_json=json, quiet=quiet)
