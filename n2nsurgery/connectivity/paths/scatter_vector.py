"""Scatter: how evenly connections spread over windows of the opposite layer (scatter paper, section 3.1, Eq. 1).

    S_f = mean over (output neuron, left window)  of [some input of the window connects to the neuron],
    S_b = mean over (input neuron, right window)  of [some output of the window connects to the neuron],

with floor(mean fan-in) left and floor(mean fan-out) right windows, at least 1 and at most one for each neuron. The
equivalent junction of the whole network has the products of the mean fans and a connection wherever there is a path;
it is found by products that saturate at 1, for a ResNet50 has 1e141 paths. Scatter is the minimum, in [0, 1]; 1 for
fully connected layers, about 1 - 1/e = 0.63 for random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import Matrix
from n2nsurgery.connectivity.paths.windows import window_numbers
from n2nsurgery.core.errors import UsageError

JunctionMask = Matrix
"""A boolean (out, in) matrix: a numpy array, or a csr_array without stored zeros."""
Shape = tuple[int, ...]


class Scatter(NamedTuple):
    """`vector`: [S_1f, S_1b, S_2f, ..., S_f, S_b], the last two for the equivalent junction; `minimum` of it."""

    vector: NDArray[np.float64]
    minimum: float


def scatter(junctions: Sequence[Matrix], shapes: Sequence[Shape] | None = None) -> Scatter:
    """The scatter of consecutive junctions: boolean (out, in) matrices, dense or sparse, in order from the input.

    `shapes`: the geometry of the layers, one more than there are junctions, row-major and without the batch: (n,),
    (H, W), (C, H, W) ...; all of them (n,) where it is None. Raises UsageError where sizes do not fit together. A
    junction without connections has scatter 0. With a single junction the equivalent one is the same.

        >>> scatter([np.ones((4, 8), dtype=bool), np.ones((2, 4), dtype=bool)]).minimum
        1.0
    """
    chain = require_junctions(junctions)
    geometry = _require_shapes(chain, shapes)
    fans = [mean_fans(junction) for junction in chain]
    values = [junction_scatter(chain[i], *fans[i], geometry[i], geometry[i + 1]) for i in range(len(chain))]
    fan_in, fan_out = (prod(fan[side] for fan in fans) for side in (0, 1))
    values.append(junction_scatter(_equivalent(chain), fan_in, fan_out, geometry[0], geometry[-1]))
    vector = np.array(values).ravel()
    return Scatter(vector, float(vector.min()))


def junction_scatter(
    junction: JunctionMask, fan_in: float, fan_out: float, left: Shape, right: Shape
) -> tuple[float, float]:
    """(S_f, S_b) of one junction (out, in) between layers of the shapes `left` and `right`."""
    forwards = _covered(junction, window_numbers(left, fan_in))
    return forwards, _covered(junction.T, window_numbers(right, fan_out))


def mean_fans(junction: JunctionMask) -> tuple[float, float]:
    """Mean fan-in and mean fan-out of a junction (out, in)."""
    return _connections(junction) / junction.shape[0], _connections(junction) / junction.shape[1]


def random_scatter(junction: JunctionMask) -> tuple[float, float]:
    """The expected (S_f, S_b) where every connection exists with the probability of this junction's density."""
    absent = 1 - _connections(junction) / prod(junction.shape)

    def hit(neurons: int, fan: float) -> float:
        sizes = np.unique(window_numbers((neurons,), fan), return_counts=True)[1]
        return float(1 - (absent**sizes).mean())

    fan_in, fan_out = mean_fans(junction)
    return hit(junction.shape[1], fan_in), hit(junction.shape[0], fan_out)


def require_junctions(junctions: Sequence[Matrix]) -> list[JunctionMask]:
    """The junctions as boolean matrices; UsageError where there is none or sizes do not match."""
    chain = [_as_boolean(junction) for junction in junctions]
    if not chain:
        raise UsageError("no junction is given; pass boolean (out, in) matrices in order from the input")
    for index, junction in enumerate(chain):
        if junction.ndim != 2 or 0 in junction.shape:  # noqa: PLR2004
            raise UsageError(f"junction {index} has shape {junction.shape}; it must be (out, in), neither of them 0")
        if index and junction.shape[1] != chain[index - 1].shape[0]:
            raise UsageError(
                f"junction {index} reads {junction.shape[1]} neurons, junction {index - 1} writes"
                f" {chain[index - 1].shape[0]}; give (out, in) matrices in order from the input"
            )
    return chain


def _require_shapes(chain: list[JunctionMask], shapes: Sequence[Shape] | None) -> list[Shape]:
    sizes = [chain[0].shape[1], *(junction.shape[0] for junction in chain)]
    geometry: list[Shape] = [(size,) for size in sizes] if shapes is None else [tuple(shape) for shape in shapes]
    if [prod(shape) for shape in geometry] != sizes:
        raise UsageError(f"the shapes {geometry} do not hold {sizes} neurons; give one shape for each layer")
    return geometry


def _as_boolean(junction: Matrix) -> JunctionMask:
    if not sp.issparse(junction):
        return np.asarray(junction).astype(bool)
    boolean = sp.csr_array(junction).astype(bool)
    boolean.eliminate_zeros()
    return boolean


def _connections(junction: JunctionMask) -> int:
    return int(junction.count_nonzero() if sp.issparse(junction) else np.count_nonzero(junction))


def _covered(junction: JunctionMask, windows: NDArray[np.int64]) -> float:
    """The share of (row, window) pairs in which the row has a connection into the window."""
    count = int(windows.max()) + 1
    pairs = junction.shape[0] * count
    if count == junction.shape[1]:  # every window holds one neuron
        return float(_connections(junction) / pairs)
    if sp.issparse(junction):
        rows, columns = junction.nonzero()
        return float(len(np.unique(rows.astype(np.int64) * count + windows[columns])) / pairs)
    order = np.argsort(windows, kind="stable")
    starts = np.searchsorted(windows[order], np.arange(count))
    return float(np.count_nonzero(np.logical_or.reduceat(junction[:, order], starts, axis=1)) / pairs)


def _equivalent(chain: list[JunctionMask]) -> JunctionMask:
    """Where there is a path from the input to the output; multiplied from the narrower end."""
    forwards = chain[0].shape[1] <= chain[-1].shape[0]
    ordered = chain if forwards else [junction.T for junction in reversed(chain)]
    reached = ordered[0].toarray() if sp.issparse(ordered[0]) else ordered[0]
    for junction in ordered[1:]:
        reached = (junction.astype(np.float32) @ reached.astype(np.float32)) > 0
    return reached if forwards else reached.T
