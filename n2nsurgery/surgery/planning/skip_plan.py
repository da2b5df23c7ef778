"""The skips of a plan: at which pairs, with which weights, and how they start.

Rules (docs/adr/0004 says why):
- one-to-one: one weight for each target channel; with `auto` the skips take just that, with an explicit ratio the
  remainder of the skip budget is random and starts near zero.
- random: the whole skip budget, divided by size; with `auto` half of the budget.
- beside a shortcut, one-to-one weights start at a quarter, and random branches are normalized.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from n2nsurgery.core.config.members import make_member
from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, Rejection
from n2nsurgery.graph.layers.pairs import select_pairs
from n2nsurgery.masks.allocations import ALLOCATIONS
from n2nsurgery.masks.counts.allocation import allocate
from n2nsurgery.masks.counts.budgets import Budget
from n2nsurgery.skips.alignment import plan_alignment
from n2nsurgery.skips.initialize import one_to_one_start
from n2nsurgery.skips.kind import SkipOptions, kind_of
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.planning.config import SurgeryConfig

CONTAINER = "n2n_skips"
_RANDOM_RATIO = 0.5


def places(graph: LayerGraph, config: SurgeryConfig) -> tuple[tuple[LayerPair, ...], tuple[Rejection, ...]]:
    """Every selected pair that the kind accepts, and why the others are left out; the length is no longer `auto`."""
    if config.skip == "none":
        return (), ()
    kind = kind_of(config.skip, config.skip_options)
    pairs, rejected = select_pairs(graph, config.pair_selection, seed=config.seed)
    options = SkipOptions(pooling=config.pooling)
    verdicts = [(pair, kind.accepts(pair, options)) for pair in pairs]
    rejections = [Rejection(source=p.source, target=p.target, reason=r) for p, r in verdicts if r is not None]
    return tuple(pair for pair, reason in verdicts if reason is None), (*rejected, *rejections)


def why_nowhere(graph: LayerGraph, rejected: Sequence[Rejection]) -> str:
    """The three most frequent reasons why layers and pairs of `graph` have no skip, in brackets; empty without any."""
    layers = {layer.name for layer in graph.layers}
    refused = {  # a layer that may be neither source nor target is one
        (each.reason, each.target or each.source, each.source if each.target else "")
        for each in (*graph.refusals, *rejected)
        if (each.target or each.source) in layers
    }
    reasons = Counter(sorted(reason for reason, _, _ in refused))
    text = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    return f" ({text})" if text else ""


def specs(
    graph: LayerGraph, pairs: Sequence[LayerPair], config: SurgeryConfig, *, whole_kernels: bool
) -> list[SkipSpec]:
    """A spec without counts for every pair; with `whole_kernels` the weights have their target's kernel, else 1x1."""
    found: list[SkipSpec] = []
    for pair in pairs:
        kind = kind_of(config.skip, config.skip_options)
        alignment = plan_alignment(pair.source_signal, pair.target_signal, config.pooling)
        assert not isinstance(alignment, str)  # the kind has accepted the pair
        rank = len(pair.target_signal.spatial)
        target_kernel = graph.layer(pair.target).kernel
        kernel = target_kernel if whole_kernels and len(target_kernel) == rank else (1,) * rank
        shape = kind.weight_shape(pair, kernel)
        weighted = shape is not None
        found.append(
            SkipSpec(
                name=f"{CONTAINER}.{len(found)}",
                kind=config.skip,
                pair=pair,
                align=alignment,
                pattern=config.skip_pattern if weighted else None,
                kernel=kernel if weighted else (),
                weight_shape=shape,
                norm=weighted and _normalized(pair, config),
                options=config.skip_options,
            )
        )
    return found


def with_ratio(config: SurgeryConfig, skips: Sequence[SkipSpec]) -> SurgeryConfig:
    """`config` with the share that skips without counts can take.

    A random pattern has no need of its own: `auto` is half of the budget then. Raises UsageError for a share of skips
    that hold no weights.
    """
    weighted = any(skip.weight_shape is not None for skip in skips)
    if config.skip_ratio == "auto":
        return replace(config, skip_ratio=_RANDOM_RATIO) if weighted and config.skip_pattern == "random" else config
    if config.skip_ratio and skips and not weighted:
        raise UsageError(
            f"is {config.skip_ratio}, but skips of kind '{config.skip}' hold no weights; leave the ratio out",
            field="skip_ratio", joint=" ",
        )  # fmt: skip
    return config


def widened(
    graph: LayerGraph, pairs: Sequence[LayerPair], config: SurgeryConfig, skips: Sequence[SkipSpec], wanted: int
) -> tuple[Sequence[SkipSpec], tuple[str, ...]]:
    """`skips`, or with kernel `auto` those with their target's kernel where 1x1 ones cannot hold `wanted` weights."""
    capacity = sum(skip.numel for skip in skips)
    if config.skip_kernel != "auto" or capacity >= wanted:
        return skips, ()
    whole = specs(graph, pairs, config, whole_kernels=True)
    if sum(skip.numel for skip in whole) == capacity:
        return whole, ()
    return whole, (f"1x1 skips can hold {capacity:,} of {wanted:,} weights: the skips have their target's kernel",)


def _normalized(pair: LayerPair, config: SurgeryConfig) -> bool:
    if config.skip_norm != "auto":
        return config.skip_norm == "always"
    return config.skip_pattern == "random" and pair.shortcut


def skip_counts(
    skips: Sequence[SkipSpec], asked: Budget, config: SurgeryConfig, *, spill: bool, nowhere: str = ""
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Weights of every skip that has any, exactly the skip budget where it fits; and what had to give.

    `spill`: what does not fit goes to the original layers; without it that raises BudgetError. So does a ratio where
    there is no skip; `nowhere` says why there is none.
    """
    sizes = {s.name: s.numel for s in skips if s.weight_shape is not None}
    shapes = {s.name: s.weight_shape for s in skips if s.weight_shape is not None}
    least = {name: shape[0] if config.skip_pattern == "one-to-one" else 0 for name, shape in shapes.items()}
    need, capacity = sum(least.values()), sum(sizes.values())
    if config.skip_ratio == "auto":
        return least, ()
    wanted = asked.skips
    notes: tuple[str, ...] = ()
    if wanted and not sizes and not config.redistribute:
        raise BudgetError(
            f"{wanted:,} weights are to go into skips, and the network has no place for one{nowhere}: leave the skip"
            " ratio out to prune it only, or allow other targets (skip_placement, include_classifier); `inspect` has"
            " the reason of each rejection"
        )
    if wanted > capacity:
        message = f"{wanted:,} weights are to go into {len(sizes)} skips that can hold {capacity:,}"
        if not spill:
            raise BudgetError(
                f"{message}: lower the skip ratio, take another skip length or more pairs (pairs, skip_placement), let"
                " the skips have the target's kernel, or allow the rest to go to the original layers (redistribute, or"
                " the skip length 'auto')"
            )
        notes = (f"{message}: {wanted - capacity:,} go to the original layers instead",)
        wanted = capacity
    if wanted < need:
        message = f"one-to-one skips need {need:,} weights and the skip budget is {wanted:,}"
        if wanted and not spill:
            raise BudgetError(f"{message}: raise the ratio, use 'auto', or serve only some channels (redistribute)")
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
    if not shapes:
        return {}
    generator = numpy_generator(config.seed, "skip allocation")
    rule = make_member(ALLOCATIONS, config.skip_allocation, config.skip_allocation_options)
    return allocate(shapes, total, rule, capacities=most, least=least, generator=generator)


def started(skips: Sequence[SkipSpec], config: SurgeryConfig) -> tuple[SkipSpec, ...]:
    """The skips, renumbered, with the start value of one-to-one weights: 1/n for n skips at one target."""
    incoming = Counter(s.pair.target for s in skips)
    named = [replace(s, name=f"{CONTAINER}.{index}") for index, s in enumerate(skips)]
    if config.skip_pattern != "one-to-one":
        return tuple(named)
    return tuple(
        replace(s, start=one_to_one_start(incoming[s.pair.target], shortcut=s.pair.shortcut))
        if s.weight_shape is not None
        else s
        for s in named
    )
