"""`n2nsurgery apply`: prune a model to a budget, graft skips, write the artifact."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import typer

from n2nsurgery.pipelines.prune.apply_request import ApplyRequest, parse_fan_out, parse_layer_value
from n2nsurgery_cli import options
from n2nsurgery_cli.session import session


def apply(
    context: typer.Context,
    model: options.Model,
    density: options.Density = None,
    sparsity: options.Sparsity = None,
    compression: options.Compression = None,
    fan_out: options.FanOut = None,
    junction_density: options.JunctionDensity = None,
    skip_ratio: options.SkipRatio = None,
    criterion: options.Criterion = "random",
    allocation: options.Allocation = None,
    granularity: options.Granularity = "weight",
    scope: options.Scope = "global",
    skip: options.Skip = "n2n",
    skip_pattern: options.SkipPattern = None,
    skip_kernel: options.SkipKernel = None,
    skip_length: options.SkipLength = 3,
    pairs: options.Pairs = "overlapping",
    shortcuts: options.Shortcuts = None,
    num_pairs: options.NumPairs = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    keep_dense: options.KeepDense = None,
    pooling: options.Pooling = "average",
    heads: options.Heads = False,
    redistribute: options.Redistribute = False,
    tries: options.Tries = 1,
    select: options.Select = None,
    floor_layer: options.FloorLayer = 0,
    floor_channel: options.FloorChannel = 0,
    preset: options.Preset = None,
    batches: options.Batches = 1,
    batch_size: options.BatchSize = 128,
    weights: options.Weights = None,
    download: options.Download = False,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Prune a model, graft skips, save the artifact.

    Exactly one of --density, --sparsity and --compression sets the budget; none where --fan-out or --junction-density
    say what layers keep and all others stay dense. Patterns are globs over dotted layer
    names, or regular expressions after `re:`.
    """
    request = request_from(context.params)
    with session(quiet=quiet, verbose=verbose) as progress:
        from n2nsurgery.pipelines.prune.apply import run

        outcome = run(request, progress).to_json()

    from n2nsurgery_cli.console.output import draw_apply, show

    show(outcome, draw_apply, as_json=json, quiet=quiet)


def request_from(values: dict[str, Any]) -> ApplyRequest:
    """The request made of a command's parsed options, which carry the names of its fields."""
    wanted: dict[str, Any] = {field.name: values[field.name] for field in fields(ApplyRequest)}
    for repeatable in ("include", "exclude", "keep_dense"):
        wanted[repeatable] = tuple(wanted[repeatable] or ())
    wanted["fan_out"] = tuple(map(parse_fan_out, wanted["fan_out"] or ()))
    densities = wanted["junction_density"] or ()
    wanted["junction_density"] = tuple(parse_layer_value(text, "junction_density") for text in densities)
    wanted["skip_ratio"] = options.skip_ratio(wanted["skip_ratio"])
    wanted["input_size"] = options.input_size(wanted["input_size"])
    return ApplyRequest(**wanted)
