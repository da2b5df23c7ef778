"""`n2nsurgery bench`: how fast an ONNX file runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from n2nsurgery_cli import options
from n2nsurgery_cli.session import session


def bench(
    file: options.OnnxFile,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="another file; default: the same without sparse runtime", show_default=False),
    ] = None,
    library: options.Library = None,
    provider: options.Provider = "cpu",
    threads: options.Threads = 1,
    batch: options.Batch = 1,
    input_shapes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=1x128", help="the shape of an input of open sizes, batch included; repeatable"),
    ] = None,
    seconds: options.Seconds = 5.0,
    layers: options.Layers = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Time an ONNX file, in turns with another.

    Reports latency, the ratio between the two, time and memory to load, and size beside that of an ideal code.
    """
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.core.config.options import config_fields
        from n2nsurgery.export.compress.config import CompressConfig
        from n2nsurgery.pipelines.deploy.bench import run
        from n2nsurgery_cli.values import parsed

        taken = next(each for each in config_fields(CompressConfig) if each.name == "input_shapes")
        shapes = cast("dict[str, Any]", parsed(taken, input_shapes or ()))
        outcome = run(
            file,
            against=against,
            library=library,
            device=provider,
            threads=threads,
            batch=batch,
            seconds=seconds,
            layers=layers,
            input_shapes=shapes,
            progress=progress,
        ).to_json()

    from n2nsurgery_cli.console.files import draw_bench
    from n2nsurgery_cli.console.output import show

    show(outcome, draw_bench, as_json=json, quiet=quiet)
