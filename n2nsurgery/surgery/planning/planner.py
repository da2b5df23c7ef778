"""From a LayerGraph and a SurgeryConfig to a SurgeryPlan: pure, no tensor is touched.

The rules for the skips stand in `skip_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from n2nsurgery.core.config.members import make_member
from n2nsurgery.core.errors import UsageError, about
from n2nsurgery.core.seeds import derive
from n2nsurgery.graph.layers.layer_graph import LayerGraph, PrunableWeight
from n2nsurgery.masks.allocations import ALLOCATIONS
from n2nsurgery.masks.counts.budgets import Budget
from n2nsurgery.masks.counts.floors import Floors, channels_of
from n2nsurgery.masks.criterion import CRITERIA, Criterion, make_criterion
from n2nsurgery.masks.granularities import GRANULARITIES
from n2nsurgery.masks.grid import grid_of
from n2nsurgery.skips.kind import KINDS, kind_of
from n2nsurgery.surgery.planning.config import OWN_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.division.division import Divided, Division
from n2nsurgery.surgery.planning.division.junctions import junction_counts, junctions_of
from n2nsurgery.surgery.planning.division.second_budget import divided
from n2nsurgery.surgery.planning.left_dense import left_dense, require_weights, uncalled, unfollowed
from n2nsurgery.surgery.planning.plan import SCHEMA, InputSpec, SurgeryPlan
from n2nsurgery.surgery.planning.skip_length import skip_length_of
from n2nsurgery.surgery.planning.skip_plan import places, specs, started, why_nowhere, with_ratio

_LARGE_SHARE = 0.10


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """What a plan says of the model itself; see SurgeryPlan."""

    recipe: str | None
    class_name: str
    inputs: tuple[InputSpec, ...]


def plan_surgery(
    graph: LayerGraph, config: SurgeryConfig, model: PlannedModel, criterion: Criterion | None = None
) -> SurgeryPlan:
    """The pruning plan that `config` asks for on the model that `graph` describes; no tensor is looked at.

    `model`: what the plan records of the model besides its graph, so that it can be built and checked again: its spec,
    its class and the shapes and types of its inputs. `criterion`: the object that `config` names, where no registry has
    it. Raises UnknownNameError for a name or pattern that matches nothing, BudgetError where the weights do not fit.
    """
    config = checked(config, criterion)
    require_weights(graph, model.class_name)
    criterion = criterion or criterion_of(config)
    junctions = junction_counts(graph.weights, junctions_of(config), criterion)
    spill = config.redistribute or config.skip_length == "auto"
    config = replace(config, skip_length=skip_length_of(graph, config))
    pairs, rejected = places(graph, config)
    skips = specs(graph, pairs, config, whole_kernels=config.skip_kernel == "target")
    config = with_ratio(config, skips)
    what = Divided(
        graph=graph,
        config=config,
        criterion=criterion,
        floors=floors_of(config),
        pairs=pairs,
        skips=tuple(skips),
        junctions=junctions,
        spill=spill,
        nowhere="" if skips else why_nowhere(graph, rejected),
    )
    shares = divided(what)
    return SurgeryPlan(
        schema=SCHEMA,
        model=model.recipe,
        model_class=model.class_name,
        inputs=model.inputs,
        structure=graph.structure,
        config=config,
        budget=shares.budget,
        weights=graph.weights,
        dense=shares.dense,
        kept=shares.kept,
        skips=started(shares.skips, config),
        refused=(*graph.refusals, *rejected, *shares.unserved),
        warnings=(*shares.notes, *_share_warnings(what, shares)),
    )


def criterion_of(config: SurgeryConfig) -> Criterion:
    """The criterion that `config` names, with its options; raises UsageError with the field."""
    options: dict[str, Any] = dict(config.all_criterion_options)
    _require_fitting(config.criterion, options)
    for name, registry in (("allocation", ALLOCATIONS), ("granularity", GRANULARITIES)):
        if name in options:
            with about(name):
                registry.canonical(options[name])
        if given := getattr(config, f"{name}_options"):
            with about(f"{name}_options"):
                options[name] = make_member(registry, options[name], given)
    try:
        return make_criterion(config.criterion, **options)
    except UsageError as error:
        if error.field in config.criterion_options:
            error.field = f"criterion_options.{error.field}"
        raise


def _require_fitting(criterion: str, options: Mapping[str, Any]) -> None:
    member = CRITERIA.get(criterion)
    known = {field.name for field in fields(member)} if is_dataclass(member) else set()
    for name in OWN_OPTIONS:
        if name in options and name not in known:
            kind = "score weights, such as 'snip'" if name == "scope" else "draw patterns, such as 'random'"
            raise UsageError(
                f"does not go with the criterion '{CRITERIA.canonical(criterion)}': it is for criteria that {kind};"
                " leave it out, or choose another criterion",
                field=name, joint=" ",
            )  # fmt: skip


def floors_of(config: SurgeryConfig) -> Floors:
    """The weights that `config` keeps in any case; raises UsageError."""
    return Floors(per_layer=config.floor_layer, per_channel=config.floor_channel, alive=config.keep_alive)


def pattern_seed(config: SurgeryConfig) -> int:
    """The seed of the patterns: the plan's own for the first draw, one derived from it for each further."""
    return config.seed if config.draw == 0 else derive(config.seed, "draw", str(config.draw))


def checked(config: SurgeryConfig, criterion: Criterion | None = None) -> SurgeryConfig:
    """`config` spelled in one way (`rp` and `random` are one plan), every name of a registry looked up.

    `criterion`: as for `plan_surgery`. Raises UnknownNameError and UsageError with the field.
    """
    config = config.canonical()
    with about("skip"):
        skip = config.skip if config.skip == "none" else KINDS.canonical(config.skip)
    with about("skip_allocation"):
        config = replace(config, skip_allocation=ALLOCATIONS.canonical(config.skip_allocation))
    with about("skip_allocation_options"):
        make_member(ALLOCATIONS, config.skip_allocation, config.skip_allocation_options)
    if skip != "none":
        with about("skip_options"):
            kind_of(skip, config.skip_options)
    if criterion is not None:
        return replace(config, skip=skip)
    with about("criterion"):
        name = CRITERIA.canonical(config.criterion)
    config = replace(config, skip=skip, criterion=name)
    criterion_of(config)
    return config


def _share_warnings(what: Divided, shares: Division) -> tuple[str, ...]:
    graph, config, granted = what.graph, what.config, shares.budget
    unused = uncalled(graph, shares.dense, shares.kept)
    notes = [*unfollowed(graph), *left_dense(graph), *unused, *_unserved_channels(graph, config, granted, shares.dense)]
    if config.skip != "none" and not shares.skips and not (config.skip_ratio == 0 and what.skips):
        notes.append(
            f"no pair of layers takes a skip of kind '{config.skip}'{what.nowhere}: the network is pruned only. Each"
            " rejection has its reason; another length, more pairs or another skip placement may find a place"
        )
    if config.skip_ratio == "auto" and granted.skips > _LARGE_SHARE * granted.total:
        notes.append(
            f"one-to-one skips take {granted.skips:,} of {granted.total:,} weights"
            f" ({granted.skips / granted.total:.0%}): beyond 10 % they starve the original layers;"
            " skips of kind 'residual' take none"
        )
    if getattr(what.criterion, "allocation", None) == "uniform":
        density = granted.total / granted.reference
        starved = [w.layer for w in graph.weights if w.layout != "linear" and density * _fan_in(w) < 1]
        if starved:
            notes.append(f"uniform allocation starves {len(starved)} layers (first: {starved[0]}); 'erk' does not")
    return tuple(notes)


def _fan_in(weight: PrunableWeight) -> int:
    grid = grid_of(weight)
    return grid.inputs * grid.taps


def _unserved_channels(
    graph: LayerGraph, config: SurgeryConfig, granted: Budget, dense: Sequence[str]
) -> tuple[str, ...]:
    """A warning where `keep_alive` is on and the budget has fewer weights than the layers have output channels."""
    kept_whole = sum(weight.numel for weight in graph.weights if weight.name in dense)
    channels = sum(channels_of(weight) for weight in graph.weights if weight.name not in dense)
    count = granted.sequential - kept_whole
    if not config.keep_alive or count >= channels:
        return ()
    enough = (channels + kept_whole + granted.skips) / granted.reference
    warning = (
        f"keep_alive: {channels - count:,} of {channels:,} output channels keep no weight, for the budget of the layers"
        f" is {count:,} weights; every layer keeps some. A density of {enough:.4g} would serve all"
    )
    return (warning,)
