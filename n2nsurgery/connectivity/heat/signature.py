"""Heat signatures of any weighted graph, given as a scipy.sparse matrix: the numerics without a network around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from n2nsurgery.connectivity.graph.channel_graph import Matrix
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.heat_solver import TOLERANCE, solve_heat
from n2nsurgery.connectivity.heat.laplacian import Vector, laplacian_of
from n2nsurgery.core.errors import UsageError


def heat_signature(
    adjacency: Matrix, sources: ArrayLike, times: ArrayLike, *, tolerance: float = TOLERANCE
) -> NDArray[np.float64]:
    """S(t) = exp(-t L) A for every t: (len(times), n), each row within `tolerance` of the truth in the 2-norm.

    `adjacency`: symmetric, non-negative, scipy.sparse, (n, n). `sources`: node numbers, or A itself (n values 0 or 1,
    or booleans). `times`: t >= 0 in any order, inf included. Raises UsageError where one of these does not hold,
    RunError where `tolerance` is out of reach. Source: N2NSkip paper, section 3.2, Eqs. 4 and 5.

        >>> import scipy.sparse as sp
        >>> two_nodes = sp.csr_array([[0.0, 1.0], [1.0, 0.0]])
        >>> heat_signature(two_nodes, [0], [0.0, np.inf]).round(6).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    operator = laplacian_of(adjacency)
    initial = indicator(sources, operator.nodes)
    moments = require_times(times)
    until = float(moments.max(initial=0))
    return solve_heat(operator, initial, until=until, tolerance=tolerance).at(moments)


def saturated_signature(adjacency: Matrix, sources: ArrayLike) -> Vector:
    """S(inf), (n,): the mean of A over each connected component, exactly. Arguments as for `heat_signature`."""
    operator = laplacian_of(adjacency)
    return np.array(components(operator).means(indicator(sources, operator.nodes)))


def saturation_time(adjacency: Matrix, sources: ArrayLike, residual: float = 1e-3) -> float:
    """The time at which |S(t) - S(inf)| / |S(0) - S(inf)| has fallen to `residual`, in (0, 1).

    0 where no heat flows. `adjacency` and `sources` as for `heat_signature`.
    """
    if not 0 < residual < 1:
        raise UsageError(f"residual = {residual}: the share of heat that is still to settle must lie in (0, 1)")
    operator = laplacian_of(adjacency)
    return solve_heat(operator, indicator(sources, operator.nodes)).saturation_time(residual)


def indicator(sources: ArrayLike, nodes: int) -> Vector:
    """A, (nodes,): 1 on the sources. `sources` holds node numbers, or is A itself; UsageError otherwise."""
    given = np.atleast_1d(np.asarray(sources))
    is_indicator = given.shape == (nodes,) and np.isin(given, (0, 1)).all() and given.any()
    if is_indicator:
        return given.astype(np.float64)
    numbers = given.astype(np.int64) if given.dtype.kind in "iu" else np.empty(0, dtype=np.int64)
    if given.ndim != 1 or not numbers.size or numbers.min() < 0 or numbers.max() >= nodes:
        raise UsageError(
            f"the sources {np.array2string(given, threshold=8)} must be node numbers in [0, {nodes - 1}], at least one,"
            f" or {nodes} values 0 or 1 of which one is 1"
        )
    initial = np.zeros(nodes)
    initial[numbers] = 1
    return initial


def require_times(times: ArrayLike) -> Vector:
    """`times` as a vector; UsageError where one is negative or NaN."""
    moments = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if moments.ndim != 1 or not (moments >= 0).all():
        raise UsageError(f"the times {np.array2string(moments, threshold=8)} must be a sequence of numbers >= 0")
    return moments
