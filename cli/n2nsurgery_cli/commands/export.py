"""`n2nsurgery export`: turn an artifact into a file that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.core.errors import UsageError
from n2nsurgery_cli import options
from n2nsurgery_cli.session import session


def export(
    artifact: Annotated[
        Path | None, typer.Argument(help="folder of an artifact or a run; default: the newest", show_default=False)
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="write an ONNX file, checked in ONNX Runtime")] = False,
    format: options.Format = "portable",  # noqa: A002 - the option's name
    values: options.Values = "fp32",
    compact: options.Compact = False,
    measure: options.Measure = False,
    report: options.Summarize = False,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    allow_import: options.AllowImport = False,
    last: options.Last = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Turn an artifact, or a run, into an ONNX file.

    It is small everywhere, and fast where the sparse runtime is registered. It appears only after ONNX Runtime has
    reproduced the output of the artifact.
    """
    if not onnx:
        raise UsageError("no format is given; pass --onnx to write an ONNX file")
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.deploy.export import run

        outcome = run(
            artifact,
            output,
            format=format,
            values=values,
            compact=compact,
            measure=measure,
            report=report,
            overwrite=overwrite,
            allow_import=allow_import,
            last=last,
            progress=progress,
        ).to_json()

    from n2nsurgery_cli.console.files import draw_export
    from n2nsurgery_cli.console.output import show

    show(outcome, draw_export, as_json=json, quiet=quiet)
