"""What a plan leaves out, in words: weights outside of the budget, and code that cannot be followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.core.names import listed
from n2nsurgery.graph.layers.layer_graph import LayerGraph

_USUAL_SHARE = 0.8


def require_weights(graph: LayerGraph, class_name: str) -> None:
    """Return where a mask could prune something; else raise BudgetError with what the model's weights are."""
    if not graph.weights:
        raise BudgetError(
            f"{class_name} has no weight that can be pruned: {_shares(graph) or 'it has no matrix or kernel'}"
        )


def left_dense(graph: LayerGraph) -> tuple[str, ...]:
    """A warning where less than 80 % of the matrices and kernels are in the budget, with the shares of the others."""
    left = sum(dense.numel for dense in graph.left)
    share = graph.reference_weights / max(1, graph.reference_weights + left)
    if share >= _USUAL_SHARE:
        return ()
    total = f"{graph.reference_weights + left:,} weights (matrices and kernels)"
    return (f"only {share:.0%} of the model's {total} are in the budget: {_shares(graph)}",)


def uncalled(graph: LayerGraph, dense: Sequence[str], kept: Sequence[int] | None) -> tuple[str, ...]:
    """A warning where a part of the budget goes to weights that nothing is multiplied with.

    `dense`: names of weights that are kept whole. `kept`: the counts of all weights, where they are known.
    """
    names = [name for name in graph.uncalled if name not in dense]
    if not names:
        return ()
    counts = dict(zip((weight.name for weight in graph.weights), kept or (), strict=False))
    sizes = {weight.name: weight.numel for weight in graph.weights}
    of = counts or sizes
    share = f"{sum(of[name] for name in names):,} of {sum(of.values()):,} {'kept ' if counts else ''}weights"
    return (f"forward reads {listed(names)} in neither mode, with {share}: remove what is not called from the model",)


def unfollowed(graph: LayerGraph) -> tuple[str, ...]:
    """A warning where the model as a whole could not be followed."""
    if graph.unfollowed is None:
        return ()
    known = "skips run inside of its parts only" if graph.pairs else "it is pruned only, without skips"
    return (f"{graph.unfollowed}. So {known}",)


def _shares(graph: LayerGraph) -> str:
    """The reasons why weights stay dense, largest share first."""
    total = graph.reference_weights + sum(dense.numel for dense in graph.left)
    sizes: Counter[str] = Counter()
    largest = {}
    for dense in sorted(graph.left, key=lambda dense: dense.numel):
        sizes[dense.reason] += dense.numel
        largest[dense.reason] = dense.name
    return "; ".join(
        f"{size / total:.0%} stay dense ('{largest[reason]}': {reason.removesuffix(': kept dense, not counted')})"
        for reason, size in sizes.most_common()
    )
