"""`n2nsurgery sweep`: how a fixed density is best shared between linear layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery_cli import options
from n2nsurgery_cli.session import session


def sweep(
    recipe: options.RecipeFile,
    density: Annotated[float, typer.Option(metavar="D", help="of the swept layers together, in (0, 1]")],
    layer: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="linear layers to sweep; repeatable")
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="so many settings, evenly spread; default: all")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="say which settings there are and train nothing")] = False,
    seeds: Annotated[int, typer.Option(metavar="N", help="runs of each setting")] = 1,
    workers: Annotated[int | None, typer.Option(metavar="N", help="trainings at a time")] = None,
    set_: options.Set = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="default: sweeps/RECIPE-dD", show_default=False)
    ] = None,
    download: options.DownloadData = False,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train every way of sharing a density between linear layers in whole fan-outs.

    The layers keep the same number of weights in all; the recipe says the rest. Finished settings are kept: the same
    command goes on where it stopped.
    """
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.experiments.trials.sweep import SweepRequest, run

        outcome = run(
            SweepRequest(
                recipe=recipe, density=density, layers=tuple(layer or ()), count=count, list_only=list_only,
                seeds=seeds, overrides=tuple(set_ or ()), output=output, data_root=data_root, download=download,
                device=device, workers=workers,
            ),
            progress,
        ).to_json()  # fmt: skip

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.reproduction import draw_sweep

    show(outcome, draw_sweep, as_json=json, quiet=quiet)
