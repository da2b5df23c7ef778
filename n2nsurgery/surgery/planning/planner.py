"""From a LayerGraph and a SurgeryConfig to a SurgeryPlan: pure, no tensor is touched.

Rules for the skips (docs/adr/0004 says why):
- one-to-one: one weight for each target channel; with `auto` the skips take just that, with an explicit ratio the
  remainder of the skip budget is random and starts near zero.
- random: the whole skip budget, divided by size.
- beside a shortcut, one-to-one weights start at a quarter, and random branches are normalized.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.core.names import select
from n2nsurgery.core.seeds import derive
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, Rejection
from n2nsurgery.graph.layers.pairs import select_pairs
from n2nsurgery.masks.counts.allocation import allocate
from n2nsurgery.masks.counts.budgets import Budget, budget
from n2nsurgery.masks.criterion import CRITERIA, Criterion, PatternCriterion, make_criterion
from n2nsurgery.masks.draw import Floors, pattern_counts
from n2nsurgery.skips.alignment import plan_alignment
from n2nsurgery.skips.initialize import one_to_one_start
from n2nsurgery.skips.kind import KINDS, SkipOptions
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.junctions import junction_counts
from n2nsurgery.surgery.planning.plan import SCHEMA, InputSpec, SurgeryPlan

CONTAINER = "n2n_skips"
_LARGE_SHARE = 0.10


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """What a plan says of the model itself; see SurgeryPlan."""

    recipe: str | None
    class_name: str
    inputs: tuple[InputSpec, ...]


def plan_surgery(graph: LayerGraph, config: SurgeryConfig, model: PlannedModel) -> SurgeryPlan:
    """The pruning plan that `config` asks for on the model that `graph` describes.

    Raises UnknownNameError for a name or pattern that matches nothing, BudgetError where the weights do not fit.
    """
    config = _canonical(config)
    criterion = criterion_of(config)
    junctions = junction_counts(graph.weights, config.junctions, criterion)
    asked = _asked(graph, config, junctions)
    skips, rejected, widened = _candidates(graph, config, asked.skips)
    counts, warnings = _skip_counts(skips, asked, config)
    taken = sum(counts.values())
    # Where layers say what they keep, skips are added to that; else they take their part of a given total.
    whole = asked if config.density is not None else replace(asked, total=asked.sequential + taken)
    granted = whole.with_skips(taken)
    unserved = tuple(
        Rejection(source=s.pair.source, target=s.pair.target, reason="the skip budget leaves no weight for it")
        for s in skips
        if s.weight_shape is not None and not counts[s.name]
    )
    served = [replace(s, kept=counts.get(s.name, 0)) for s in skips if s.weight_shape is None or counts[s.name]]
    dense = _kept_dense(graph, config, granted, junctions)
    return SurgeryPlan(
        schema=SCHEMA,
        model=model.recipe,
        model_class=model.class_name,
        inputs=model.inputs,
        structure=graph.structure,
        config=config,
        budget=granted,
        weights=graph.weights,
        dense=dense,
        kept=_kept(graph, config, criterion, granted.sequential, dense, junctions),
        skips=_started(served, config),
        refused=(*graph.refusals, *rejected, *unserved),
        warnings=(*widened, *warnings, *_share_warnings(graph, granted, served, config)),
    )


def _asked(graph: LayerGraph, config: SurgeryConfig, junctions: Mapping[str, int]) -> Budget:
    """The budget by density; without one, what the junctions and the layers beside them keep, and the skips."""
    ratio = 0.0 if config.skip_ratio == "auto" else config.skip_ratio
    if config.density is not None:
        return budget(graph.reference_weights, density=config.density, skip_ratio=ratio)
    sequential = sum(junctions.get(weight.name, weight.numel) for weight in graph.weights)
    skips = round(sequential * ratio / (1 - ratio))
    return Budget(reference=graph.reference_weights, total=sequential + skips, skips=skips)


def criterion_of(config: SurgeryConfig) -> Criterion:
    """The criterion that `config` names, with its options; raises UnknownNameError."""
    return make_criterion(config.criterion, **dict(config.criterion_options))


def floors_of(config: SurgeryConfig) -> Floors:
    """The weights that `config` keeps in any case; raises UsageError."""
    return Floors(per_layer=config.floor_per_layer, per_channel=config.floor_per_channel)


def pattern_seed(config: SurgeryConfig) -> int:
    """The seed of the patterns: the plan's own for the first draw, one derived from it for each further."""
    return config.seed if config.draw == 0 else derive(config.seed, "draw", str(config.draw))


def _canonical(config: SurgeryConfig) -> SurgeryConfig:
    """`config` with its names' aliases resolved: `rp` and `random` are one plan."""
    skip = config.skip if config.skip == "none" else KINDS.canonical(config.skip)
    return replace(config, criterion=CRITERIA.canonical(config.criterion), skip=skip)


def _candidates(
    graph: LayerGraph, config: SurgeryConfig, wanted: int
) -> tuple[list[SkipSpec], tuple[Rejection, ...], tuple[str, ...]]:
    """A spec without counts for every selected pair that the kind accepts, the pairs it refuses, and what to note."""
    if config.skip == "none":
        return [], (), ()
    kind = KINDS.get(config.skip)()
    pairs, rejected = select_pairs(graph, config.pairs, seed=config.seed)
    options = SkipOptions(pooling=config.pooling)
    verdicts = [(pair, kind.accepts(pair, options)) for pair in pairs]
    rejections = [Rejection(source=p.source, target=p.target, reason=r) for p, r in verdicts if r is not None]
    accepted = [pair for pair, reason in verdicts if reason is None]
    notes: tuple[str, ...] = ()
    specs = _specs(graph, accepted, config, whole_kernels=config.kernel == "target")
    capacity = sum(spec.numel for spec in specs)
    if config.kernel == "auto" and capacity < wanted:
        specs = _specs(graph, accepted, config, whole_kernels=True)
        if sum(spec.numel for spec in specs) > capacity:
            notes = (f"1x1 skips can hold {capacity:,} of {wanted:,} weights: the skips have their target's kernel",)
    return specs, (*rejected, *rejections), notes


def _specs(
    graph: LayerGraph, pairs: Sequence[LayerPair], config: SurgeryConfig, *, whole_kernels: bool
) -> list[SkipSpec]:
    kind = KINDS.get(config.skip)()
    specs: list[SkipSpec] = []
    for pair in pairs:
        alignment = plan_alignment(pair.source_signal, pair.target_signal, config.pooling)
        assert not isinstance(alignment, str)  # the kind has accepted the pair
        rank = len(pair.target_signal.spatial)
        target_kernel = graph.layer(pair.target).kernel
        kernel = target_kernel if whole_kernels and len(target_kernel) == rank else (1,) * rank
        shape = kind.weight_shape(pair, kernel)
        weighted = shape is not None
        specs.append(
            SkipSpec(
                name=f"{CONTAINER}.{len(specs)}",
                kind=config.skip,
                pair=pair,
                align=alignment,
                pattern=config.pattern if weighted else None,
                kernel=kernel if weighted else (),
                weight_shape=shape,
                norm=weighted and _normalized(pair, config),
            )
        )
    return specs


def _normalized(pair: LayerPair, config: SurgeryConfig) -> bool:
    if config.norm != "auto":
        return config.norm == "always"
    return config.pattern == "random" and pair.shortcut


def _skip_counts(
    skips: Sequence[SkipSpec], asked: Budget, config: SurgeryConfig
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Weights of every skip that has any, exactly the skip budget where it fits; and what had to give."""
    sizes = {s.name: s.numel for s in skips if s.weight_shape is not None}
    shapes = {s.name: s.weight_shape for s in skips if s.weight_shape is not None}
    least = {name: shape[0] if config.pattern == "one-to-one" else 0 for name, shape in shapes.items()}
    need, capacity = sum(least.values()), sum(sizes.values())
    if config.skip_ratio == "auto":
        return least, ()
    wanted = asked.skips
    notes: tuple[str, ...] = ()
    if wanted > capacity:
        message = f"{wanted:,} weights are to go into {len(sizes)} skips that can hold {capacity:,}"
        if not config.redistribute:
            raise BudgetError(
                f"{message}: lower the skip ratio, take another skip length or more pairs (--pairs,"
                " --shortcuts), let the skips have the target's kernel, or allow the rest to go to the original layers"
                " (--redistribute)"
            )
        notes = (f"{message}: {wanted - capacity:,} go to the original layers instead",)
        wanted = capacity
    if wanted < need:
        message = f"one-to-one skips need {need:,} weights and the skip budget is {wanted:,}"
        if wanted and not config.redistribute:
            raise BudgetError(f"{message}: raise the ratio, use 'auto', or serve only some channels (--redistribute)")
        notes += (f"{message}: only some target channels are served",) if wanted else ()
        return _divide(shapes, wanted, config, least, dict.fromkeys(sizes, 0)), notes
    return _divide(shapes, wanted, config, sizes, least), notes


def _divide(
    shapes: Mapping[str, tuple[int, ...]],
    total: int,
    config: SurgeryConfig,
    most: Mapping[str, int],
    least: Mapping[str, int],
) -> dict[str, int]:
    return allocate(shapes, total, config.skip_allocation, capacities=most, least=least) if shapes else {}


def _started(skips: Sequence[SkipSpec], config: SurgeryConfig) -> tuple[SkipSpec, ...]:
    """The skips, renumbered, with the start value of one-to-one weights: 1/n for n skips at one target."""
    incoming = Counter(s.pair.target for s in skips)
    named = [replace(s, name=f"{CONTAINER}.{index}") for index, s in enumerate(skips)]
    if config.pattern != "one-to-one":
        return tuple(named)
    return tuple(
        replace(s, start=one_to_one_start(incoming[s.pair.target], shortcut=s.pair.shortcut))
        if s.weight_shape is not None
        else s
        for s in named
    )


def _kept_dense(
    graph: LayerGraph, config: SurgeryConfig, granted: Budget, junctions: Mapping[str, int]
) -> tuple[str, ...]:
    """Names of the weights that are kept whole; their size is part of the budget."""
    names = [name for weight in graph.weights for name in (weight.layer, weight.name)]
    chosen = {name for pattern in config.keep_dense for name in select(pattern, names, kind="layer")}
    beside = config.density is None  # only the layers that say what they keep are pruned
    dense = [w for w in graph.weights if chosen & {w.layer, w.name} or (beside and w.name not in junctions)]
    if twice := [weight.layer for weight in dense if weight.name in junctions]:
        raise UsageError(f"'{twice[0]}' is to stay dense and to keep a number of its own: ask for one of the two")
    size = sum(weight.numel for weight in dense)
    if size > granted.sequential:
        raise BudgetError(
            f"the layers kept dense have {size:,} weights, and the budget of the original layers is"
            f" {granted.sequential:,}: keep fewer of them dense or raise the density"
        )
    return tuple(weight.name for weight in dense)


def _kept(  # noqa: PLR0913, PLR0917 - what every count depends on
    graph: LayerGraph,
    config: SurgeryConfig,
    criterion: Criterion,
    sequential: int,
    dense: tuple[str, ...],
    junctions: Mapping[str, int],
) -> tuple[int, ...] | None:
    """Counts of all weights, where the criterion is a pattern with an allocation."""
    if not isinstance(criterion, PatternCriterion):
        return None
    settled = {weight.name: weight.numel for weight in graph.weights if weight.name in dense} | dict(junctions)
    pruned = [weight for weight in graph.weights if weight.name not in settled]
    count = sequential - sum(settled.values())
    if not pruned and count:
        raise BudgetError(
            f"the layers keep {sum(settled.values()):,} weights as asked for, and the budget is {sequential:,}: leave"
            " the density out"
        )
    shared = pattern_counts(criterion, pruned, count, seed=config.seed, floors=floors_of(config)) if pruned else {}
    counts = settled | shared
    return tuple(counts[weight.name] for weight in graph.weights)


def _share_warnings(
    graph: LayerGraph, granted: Budget, skips: Sequence[SkipSpec], config: SurgeryConfig
) -> tuple[str, ...]:
    notes: list[str] = []
    if config.skip != "none" and not skips:
        notes.append(
            f"no pair of layers takes a skip of kind '{config.skip}': the network is pruned only. Each rejection"
            " has its"
            " reason; another length, more pairs or --shortcuts may find a place"
        )
    if config.skip_ratio == "auto" and granted.skips > _LARGE_SHARE * granted.total:
        notes.append(
            f"one-to-one skips take {granted.skips:,} of {granted.total:,} weights"
            f" ({granted.skips / granted.total:.0%}): beyond 10 % they starve the original layers;"
            " skips of kind 'residual' take none"
        )
    if dict(config.criterion_options).get("allocation") == "uniform":
        density = granted.total / granted.reference
        starved = [w.layer for w in graph.weights if density * prod(w.shape[1:]) < 1 and w.layout != "linear"]
        if starved:
            notes.append(f"uniform allocation starves {len(starved)} layers (first: {starved[0]}); 'erk' does not")
    return tuple(notes)
