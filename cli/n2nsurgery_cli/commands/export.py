"""`n2nsurgery export`: turn an artifact into a file that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.export.config import ExportConfig
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session

_INTEGERS = "Integers"


@options_of("asked", ExportConfig)
def export(
    asked: Given,
    artifact: Annotated[
        Path | None,
        typer.Argument(
            help="folder of an artifact or a run; default: the newest",
            show_default=False,
            autocompletion=completion.artifacts,
        ),
    ] = None,
    _onnx: Annotated[bool, typer.Option("--onnx", hidden=True, help="what is written in any case")] = False,
    output: options.Output = None,
    example: Annotated[
        Path | None,
        typer.Option(
            "--example",
            metavar="FILE.npz",
            help="one batch of inputs by name, to compare the file on; default: noise",
            show_default=False,
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate",
            metavar="FILE.npz|DATA|FOLDER|run",
            help="samples for --values int8, whose layers then compute with integers: inputs by name, a data set, "
            "a folder of images with one subfolder for each class, or the run's data",
            show_default=False,
            rich_help_panel=_INTEGERS,
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="how many of them; default: all of a file, 512 of a data set",
            show_default=False,
            rich_help_panel=_INTEGERS,
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="where data sets lie; default: $N2NSURGERY_DATA",
            show_default=False,
            rich_help_panel=_INTEGERS,
        ),
    ] = None,
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
    config = ExportConfig(**asked)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.deploy.calibration import CalibrationRequest
        from n2nsurgery.pipelines.deploy.export import run

        calibration = (
            None
            if calibrate is None
            else CalibrationRequest(source=calibrate, samples=calibration_samples, data_root=data_root)
        )
        outcome = run(
            artifact,
            output,
            example=example,
            calibration=calibration,
            config=config,
            overwrite=overwrite,
            allow_import=allow_import,
            last=last,
            progress=progress,
        ).to_json()

    from n2nsurgery_cli.console.files import draw_export
    from n2nsurgery_cli.console.output import show

    show(outcome, draw_export, as_json=json, quiet=quiet)
