"""`n2nsurgery eval`: how good a trained network is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.pipelines.training.evaluate_request import EvaluationRequest
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", EvaluationRequest)
def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|ARTIFACT",
            help="folder of a run or of an artifact; default: the newest run",
            show_default=False,
            autocompletion=completion.artifacts,
        ),
    ] = None,
    *,
    asked: Given,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Measure loss and accuracy of a trained network.

    Of a run, the best weights by validation are taken. --set data.KEY=VALUE changes an option of the data.
    """
    checked = EvaluationRequest(folder=folder or Path(), **asked)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.saved.run_folder import newest_run
        from n2nsurgery.pipelines.training.evaluate import run

        request = checked if folder is not None else replace(checked, folder=newest_run())
        outcome = run(request, progress).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.training import draw_evaluation

    show(outcome, draw_evaluation, as_json=json, quiet=quiet)
