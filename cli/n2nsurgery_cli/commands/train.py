"""`n2nsurgery train`: carry out a recipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import typer

from n2nsurgery.pipelines.training.train_request import AUTO, TrainRequest
from n2nsurgery.recipe.shipped import PREFIX, recipe_file
from n2nsurgery_cli import options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", TrainRequest)
def train(
    recipe: options.RecipeFile,
    asked: Given,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train what a recipe describes.

    The run's folder (default: runs/RECIPE-HASH) holds the resolved recipe, checkpoints and metrics, and is taken by
    eval, export and verify. A finished run is not trained again. Ctrl-C saves the state and exits with 130; --resume
    goes on from there, to the same bits. Under torchrun this is one of its processes.
    """
    request = TrainRequest(recipe=recipe_file(recipe), **asked)
    with session(quiet=quiet, verbose=verbose) as progress:
        if request.gpus is not None and _starts_others(request, request.gpus):
            return
        from n2nsurgery.pipelines.training.train import run

        outcome = run(request, progress, None if quiet else _log_line)

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.training import draw_train

    if outcome is not None:
        show(outcome.to_json(), draw_train, as_json=json, quiet=quiet)


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """`arguments` with a bare `--resume` as `--resume=auto`: what follows is a value only where it names no recipe."""
    return list(_spelled_out(arguments))


def _spelled_out(arguments: Sequence[str]) -> Iterator[str]:
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue="-"):
        bare = argument == "--resume" and (following.startswith(("-", PREFIX)) or Path(following).is_file())
        yield f"--resume={AUTO}" if bare else argument


def _starts_others(request: TrainRequest, processes: int) -> bool:
    """Whether this process had others do the work: it has, unless it is one of them or there is nothing to train."""
    from n2nsurgery.training.distributed.environment import place_among_processes

    if place_among_processes(os.environ) is not None:
        return False
    from n2nsurgery.pipelines.training.check_recipe import check_processes

    check_processes(request, processes)
    if request.dry_run:
        return False
    from n2nsurgery.training.distributed.distributed_launch import launch

    launch([sys.executable, "-m", "n2nsurgery", *spelled_out(sys.argv[1:])], processes)
    return True


def _log_line(line: str) -> None:
    typer.echo(line, err=True)
