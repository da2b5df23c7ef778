"""`n2nsurgery sweep`: how a fixed density is best shared between linear layers."""

from __future__ import annotations

from n2nsurgery.experiments.trials.sweep_request import SweepRequest
from n2nsurgery.recipe.shipped import recipe_file
from n2nsurgery_cli import options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", SweepRequest)
def sweep(
    recipe: options.RecipeFile,
    asked: Given,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train every way of sharing a density between layers.

    The linear layers keep whole fan-outs. The layers keep the same number of weights in all; the recipe says the rest.
    Finished settings are kept: the same command goes on where it stopped.
    """
    request = SweepRequest(recipe=recipe_file(recipe), **asked)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.experiments.trials.sweep import run

        outcome = run(request, progress).to_json()

    from n2nsurgery_cli.console.output import show
    from n2nsurgery_cli.console.reproduction import draw_sweep

    show(outcome, draw_sweep, as_json=json, quiet=quiet)
