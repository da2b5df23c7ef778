"""From a layer's weight to its channel pairs: (out, in) conductances and counts of kept weights.

    l1: W[i, j] = s_i sum |w|    l2: W[i, j] = s_i^2 sum w^2    count: number of kept w    binary: 1 where any is kept

over the kernel's taps between input channel j and output channel i, with s_i the factor of a folded BatchNorm. The
dense form takes every absent weight for m, the mean of |s w| over the layer's kept weights (1 / sqrt(fan-in) where it
keeps none), so that a pruned network is compared with a dense one of the same strength.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import SPARSE_BELOW, Block, Features, Matrix
from n2nsurgery.connectivity.graph.graph_options import WeightRule
from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.channels.flow import LayerCall

Pairs = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighting:
    """What one call of a layer holds: its weight, its mask (None: whole) and BatchNorm factors (None: none)."""

    weight: NDArray[Any]
    mask: NDArray[np.bool_] | None
    scale: NDArray[np.float64] | None


def block_of(call: LayerCall, held: Weighting, rule: WeightRule, *, dense: bool) -> Block:
    """The edges of `call`; `dense`: in the dense form.

    Raises UsageError where the weight does not have the flow's shape, or where kept weights are NaN or infinite.
    """
    _require_weight(call, held)
    call, held = _by_channel(call, held)
    conductances, kept = _condensed(call, held, rule, dense=dense)
    weights, counts, features = _spread(call, conductances, kept)
    stand_for = np.diff(call.feature_starts)
    return Block(
        name=call.name,
        sources=call.sources,
        targets=call.targets,
        weights=weights,
        kept=counts,
        size=_taps(call) * int(np.count_nonzero(stand_for)) * len(call.targets) // call.groups,
        features=features if (stand_for > 1).any() else None,
    )


def _require_weight(call: LayerCall, held: Weighting) -> None:
    shape = tuple(held.weight.shape)
    if shape != call.weight_shape or (held.mask is not None and held.mask.shape != shape):
        raise UsageError(f"the weight of '{call.name}' has shape {shape}, its layer needs {call.weight_shape}")
    # A sum is finite only where all its terms are; one pass without a temporary tells nearly always.
    if np.isfinite(np.sum(held.weight, dtype=np.float64)):
        return
    kept = held.weight if held.mask is None else held.weight[held.mask]
    broken = int(kept.size - np.isfinite(kept).sum())
    if broken:
        raise UsageError(
            f"layer '{call.name}': {broken:,} weights are NaN or infinite; such a network has no connectivity to tell"
        )


def _by_channel(call: LayerCall, held: Weighting) -> tuple[LayerCall, Weighting]:
    """Flattened maps as channels with as many taps as positions; any other call as it is."""
    run = call.features // max(1, len(call.sources))
    nodes = call.feature_nodes[:: max(1, run)]
    flattened = call.layout == "linear" and run > 1 and len(nodes) == len(call.sources)
    if not flattened or not np.array_equal(np.repeat(nodes, run), call.feature_nodes):
        return call, held
    shape = (len(call.targets), len(nodes), run)
    starts = np.arange(len(nodes) + 1)
    condensed = replace(call, weight_shape=shape, layout="conv", feature_starts=starts, feature_nodes=nodes)
    mask = None if held.mask is None else held.mask.reshape(shape)
    return condensed, replace(held, weight=held.weight.reshape(shape), mask=mask)


def _condensed(call: LayerCall, held: Weighting, rule: WeightRule, *, dense: bool) -> tuple[Pairs, Counts]:
    """(out, in / groups) conductances and counts."""
    if held.mask is None:
        kept = np.broadcast_to(np.int64(_taps(call)), _pair_shape(call))
    else:
        kept = _by_output(call, np.count_nonzero(_flat(held.mask), axis=2))
    counts = np.broadcast_to(np.int64(_taps(call)), kept.shape) if dense else kept
    if rule == "count":
        return counts.astype(np.float64), counts
    if rule == "binary":
        return (counts > 0).astype(np.float64), counts
    scale = None if held.scale is None else np.abs(held.scale)
    magnitudes = np.abs(held.weight) if held.mask is None else np.where(held.mask, np.abs(held.weight), 0)
    sums = _scaled(_summed(call, magnitudes), scale)
    squares = None if rule == "l1" else _scaled(_summed(call, np.square(magnitudes, dtype=np.float64)), scale, power=2)
    pairs = sums if squares is None else squares
    if dense and held.mask is not None:
        total = int(kept.sum())
        mean = float(sums.sum()) / total if total else 1 / sqrt(call.features // call.groups * _taps(call))
        pairs = pairs + (counts - kept) * (mean if rule == "l1" else mean**2)
    return pairs, counts


def _scaled(pairs: Pairs, scale: NDArray[np.float64] | None, power: int = 1) -> Pairs:
    return pairs if scale is None else pairs * (scale**power)[:, None]


def _summed(call: LayerCall, weight: NDArray[Any]) -> Pairs:
    return _by_output(call, _flat(weight).sum(axis=2, dtype=np.float64))


def _flat(weight: NDArray[Any]) -> NDArray[Any]:
    return weight.reshape(*weight.shape[:2], -1)


def _taps(call: LayerCall) -> int:
    return prod(call.weight_shape[2:])


def _pair_shape(call: LayerCall) -> tuple[int, int]:
    return len(call.targets), call.features // call.groups


def _by_output(call: LayerCall, pairs: NDArray[Any]) -> NDArray[Any]:
    """(out, in / groups), also where the parameter is (in, out / groups)."""
    if call.layout != "conv_transpose":
        return pairs
    outputs = pairs.shape[1]
    turned = pairs.reshape(call.groups, -1, outputs).swapaxes(1, 2)
    return turned.reshape(call.groups * outputs, -1)


def _spread(call: LayerCall, conductances: Pairs, kept: Counts) -> tuple[Matrix, Matrix, Features | None]:
    """Matrices over the nodes: groups go to their places, features to the nodes that they stand for.

    And the features, where they are not the nodes in their order.
    """
    plain = call.groups == 1 and np.array_equal(call.feature_nodes, call.sources) and call.features == len(call.sources)
    edges = int(np.count_nonzero(kept))
    if plain and edges >= SPARSE_BELOW * kept.size:
        return conductances, kept, None
    rows, columns = np.nonzero(kept) if edges < kept.size else _everywhere(kept.shape)
    values, counts = conductances[rows, columns], kept[rows, columns]
    inputs = columns + rows // (len(call.targets) // call.groups) * (call.features // call.groups)
    shape = (len(call.targets), call.features)
    weights, numbers = (sp.csr_array((data, (rows, inputs)), shape=shape) for data in (values, counts))
    read = None
    if not plain:
        places = np.searchsorted(call.sources, call.feature_nodes)
        features = np.repeat(np.arange(call.features), np.diff(call.feature_starts))
        ones = np.ones(len(places), dtype=np.int64)
        stands_for = sp.csr_array((ones, (features, places)), shape=(call.features, len(call.sources)))
        read = Features(kept=numbers, nodes=stands_for)
        weights, numbers = weights @ stands_for, numbers @ stands_for
    if numbers.nnz >= SPARSE_BELOW * len(call.targets) * len(call.sources):
        return weights.toarray(), numbers.toarray(), read
    return _same_places(weights), _same_places(numbers), read


def _everywhere(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = np.divmod(np.arange(prod(shape)), shape[1])
    return rows, columns


def _same_places(matrix: Matrix) -> Matrix:
    matrix.sort_indices()
    return matrix
