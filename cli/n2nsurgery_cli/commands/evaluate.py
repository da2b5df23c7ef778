"""`n2nsurgery eval`: how good a trained network is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.pipelines.training.evaluate_request import EvaluationRequest
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.session import session


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|ARTIFACT", help="folder of a run or of an artifact", autocompletion=completion.artifacts
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="a data set; default: the run's own",
            show_default=False,
            autocompletion=completion.data_sets,
        ),
    ] = None,
    set_: options.Set = None,
    split: Annotated[str, typer.Option(metavar="test|validation|train", help="which samples")] = "test",
    last: options.Last = False,
    batch_size: options.BatchSize = 256,
    data_root: options.DataRoot = None,
    download: options.DownloadData = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="of generated data and splits; default: the run's")
    ] = None,
    device: options.Device = "auto",
    allow_import: options.AllowImport = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Measure loss and accuracy of a trained network.

    Of a run, the best weights by validation are taken. --set data.KEY=VALUE changes an option of the data.
    """
    request = EvaluationRequest(
        folder=folder,
        last=last,
        data=data,
        overrides=tuple(set_ or ()),
        data_root=data_root,
        split=split,
        batch_size=batch_size,
        seed=seed,
        device=device,
        download=download,
        allow_import=allow_import,
    )
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.training.evaluate import run

        outcome = run(request, progress).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.training import draw_evaluation

    show(outcome, draw_evaluation, as_json=json, quiet=quiet)
