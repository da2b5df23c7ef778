"""`n2nsurgery inspect`: what surgery sees in a model."""

from __future__ import annotations

from typing import get_type_hints

from n2nsurgery.models.weights_config import WeightsConfig
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.keywords import PairOptions
from n2nsurgery_cli import options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("wanted", SurgeryConfig, tuple(get_type_hints(PairOptions)))
@options_of("weights", WeightsConfig)
@options_of("shape", ApplyRequest, ("download", "num_classes", "input_size"))
def inspect(
    model: options.AnyModel,
    wanted: Given,
    weights: Given,
    shape: Given,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Show what surgery sees in a model, or what a file holds.

    That is layers, possible skips and what was rejected; of a file, its weights. Every rejected layer and pair comes
    with its reason. The weights of an .onnx file are counted again.
    """
    asked = WeightsConfig(**weights)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.prune.inspect import run

        outcome = run(
            model,
            weights=asked,
            seed=seed,
            progress=progress,
            **shape,
            **wanted,
        ).to_json()

    from n2nsurgery_cli.console.files import draw_file
    from n2nsurgery_cli.console.output import draw_apply, draw_inspect, show

    draw = draw_file if "onnx" in outcome else draw_apply if "artifact" in outcome else draw_inspect
    show(outcome, draw, as_json=json, quiet=quiet)
