"""`n2nsurgery apply`: prune a model to a budget, graft skips, write the artifact."""

from __future__ import annotations

from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery_cli import options
from n2nsurgery_cli.config_options import Given, options_of
from n2nsurgery_cli.session import session


@options_of("asked", SurgeryConfig)
@options_of("run", ApplyRequest)
def apply(
    model: options.Model,
    asked: Given,
    run: Given,
    preset: options.Preset = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Prune a model, graft skips, save the artifact.

    Exactly one of --density, --sparsity and --compression sets the budget, or --macs alone; none where --fan-out or
    --junction-density say what layers keep and all others stay dense. Patterns are globs over dotted layer names, or
    regular expressions after `re:`.
    """
    request = ApplyRequest(model=model, surgery=SurgeryConfig.from_preset(preset, **asked), **run)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.prune.apply import run as run_apply

        outcome = run_apply(request, progress).to_json()

    from n2nsurgery_cli.console.output import draw_apply, show

    show(outcome, draw_apply, as_json=json, quiet=quiet)
