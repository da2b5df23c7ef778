"""`n2nsurgery verify`: whether an ONNX file holds what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery_cli import completion, options
from n2nsurgery_cli.session import session


def verify(
    file: options.OnnxFile,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="ARTIFACT|RUN",
            help="what it was made from",
            show_default=False,
            autocompletion=completion.artifacts,
        ),
    ] = None,
    allow_import: options.AllowImport = False,
    last: options.Last = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Prove an ONNX file: its tensors, its output, and its masks.

    Exit code 4 where a proof fails.
    """
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.deploy.verify import run

        outcome = run(file, against=against, allow_import=allow_import, last=last, progress=progress).to_json()

    from n2nsurgery_cli.console.files import draw_verify
    from n2nsurgery_cli.console.output import show

    show(outcome, draw_verify, as_json=json, quiet=quiet)
