"""`n2nsurgery compress`: a small file from somebody's sparse ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery_cli import options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", CompressConfig)
def compress(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="an .onnx file, or weights: .safetensors, .pth")],
    asked: Given,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Make a small file of a pruned network, from any exporter.

    Weights that are zero are left out; the others are not changed. The file appears only after ONNX Runtime has
    reproduced the output of the original.
    """
    config = CompressConfig(**asked)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.deploy.compress import run

        outcome = run(file, output, config=config, overwrite=overwrite, progress=progress).to_json()

    from n2nsurgery_cli.console.files import draw_compress
    from n2nsurgery_cli.console.output import show

    show(outcome, draw_compress, as_json=json, quiet=quiet)
