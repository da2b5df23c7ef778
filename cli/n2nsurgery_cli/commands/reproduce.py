"""`n2nsurgery reproduce`: a table or figure of the papers, carried out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery_cli import completion, options
from n2nsurgery_cli.session import session


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            help="an experiment; without one they are listed",
            show_default=False,
            autocompletion=completion.experiments,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="default: reproductions/NAME-SCALE")
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="smoke|small|paper", help="how large; small is for two CPU cores")
    ] = "small",
    seeds: Annotated[int | None, typer.Option(metavar="N", help="runs behind each mean; default: the scale's")] = None,
    data_root: Annotated[
        Path | None, typer.Option("--data-root", "--data", metavar="DIR", help="where data sets lie")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="allow fetching data sets")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="trainings at a time; default: one on each GPU, or one on the CPU")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="train only these, by name ('*-fo-512-32-s*', '*-s0'), and show what is finished; repeatable",
        ),
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="train nothing: show what earlier runs of the same command have left")
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Reproduce a table or figure of the papers.

    Their numbers stand beside ours. Finished parts are kept in the output folder: the same command goes on where it
    stopped.
    """
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.experiments.paper.reproduce import REPRODUCTIONS, run
        from n2nsurgery.experiments.paper.reproduction import EXPERIMENTS, ExperimentConfig

        listed = [{"name": each, "about": about} for each, about in EXPERIMENTS.summaries().items()]
        if name is not None:
            folder = output or REPRODUCTIONS / f"{EXPERIMENTS.canonical(name)}-{scale}"
            config = ExperimentConfig(
                folder=folder, scale=scale, seed=seed, seeds=seeds, data=data_root, download=download,  # type: ignore[arg-type]  # run checks
                device=device, workers=workers, only=tuple(only or ()), finished=finished,
                progress=progress,
            )  # fmt: skip
            outcome = run(name, config).to_json() | {"folder": str(folder)}

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.reproduction import draw_names, draw_reproduction

    if name is None:
        show({"experiments": listed}, draw_names, as_json=json, quiet=quiet)
    else:
        show(outcome, draw_reproduction, as_json=json, quiet=quiet)
