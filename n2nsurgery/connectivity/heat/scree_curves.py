"""Scree curves: how soon diffusion on the graph depends on its slowest modes only (N2NSkip paper, Eq. 7).

    alpha(K, t) = sum_{k=2}^{K+1} e^{-t lambda_k} / sum_{k=2}^{n} e^{-t lambda_k},

K percent of the n eigenvalues, that is ceil(K n / 100) of them, at least 1 and at most n - 1. alpha grows from K % at
t = 0 to 1, the earlier the better connected. Computed with e^{-t (lambda_k - lambda_2)}, since the plain form becomes
0 / 0 for large t. A graph of c components has c - 1 further zero eigenvalues, so that alpha(K, inf) =
min(K, c - 1) / (c - 1) there: look at the giant component by itself as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from n2nsurgery.connectivity.graph.channel_graph import Matrix
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.laplacian import Vector, laplacian_of
from n2nsurgery.connectivity.heat.low_modes import low_modes
from n2nsurgery.connectivity.heat.signature import require_times
from n2nsurgery.connectivity.heat.spectrum import Spectrum, estimated_spectrum, exact_spectrum
from n2nsurgery.core.errors import UsageError

EXACT_TO = 6000
"""Nodes up to which all eigenvalues are computed."""
DEFLATED = 128
"""Slowest modes, at most, that are taken out of the estimate."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScreeCurves:
    """`alpha` in [0, 1] and its `standard_error` (0 where exact), both (len(percent), len(times))."""

    percent: Vector
    times: Vector
    alpha: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def scree(  # noqa: PLR0913 - three that are always given, three that seldom are
    adjacency: Matrix,
    percent: ArrayLike,
    times: ArrayLike,
    *,
    giant: bool = False,
    exact_to: int = EXACT_TO,
    seed: int = 0,
) -> NDArray[np.float64]:
    """alpha(K, t): (len(times),) for one K, (len(percent), len(times)) for several; in [0, 1].

    alpha is the share of the sum of exp(-t lambda) over all eigenvalues but the first, 0, that the smallest K percent
    of them hold.
    `adjacency`: symmetric, non-negative, scipy.sparse, (n, n), n >= 2. `percent`: K in (0, 100]. `times`: t >= 0.
    `giant`: only the largest component. Exact up to `exact_to` nodes, estimated beyond; `scree_curves` tells the
    standard error. Raises UsageError where an argument does not hold.
    """
    operator = laplacian_of(adjacency)
    parts = components(operator)
    within = parts.giant if giant else np.ones(operator.nodes, dtype=bool)
    if np.count_nonzero(within) <= exact_to:
        spectrum = exact_spectrum(operator, parts, within)
    else:
        slow = low_modes(operator, parts, DEFLATED, within=within, seed=seed)
        spectrum = estimated_spectrum(operator, parts, slow, within=within, seed=seed)
    curves = scree_curves(spectrum, percent, times)
    return curves.alpha[0] if np.ndim(percent) == 0 else curves.alpha


def scree_curves(spectrum: Spectrum, percent: ArrayLike, times: ArrayLike) -> ScreeCurves:
    """The curves of a spectrum. The standard error is the jackknife's over the probes."""
    shares = np.atleast_1d(np.asarray(percent, dtype=np.float64))
    if not ((shares > 0) & (shares <= 100)).all():  # noqa: PLR2004
        raise UsageError(f"percent = {shares.tolist()}: the share of eigenvalues must lie in (0, 100]")
    moments = require_times(times)
    nodes = spectrum.zeros + round(float(spectrum.weights[0].sum()))
    if nodes < 2:  # noqa: PLR2004
        raise UsageError("a scree curve needs at least 2 nodes; with one there is no second eigenvalue")
    counts = [min(max(1, ceil(round(share * nodes / 100, 9))), nodes - 1) for share in shares]
    error = np.zeros((len(counts), len(moments)))
    if spectrum.probes > 1:
        others = np.stack([_alpha(spectrum.without(probe), counts, moments) for probe in range(spectrum.probes)])
        error = np.sqrt((spectrum.probes - 1) * others.var(axis=0))
    return ScreeCurves(percent=shares, times=moments, alpha=_alpha(spectrum, counts, moments), standard_error=error)


def _alpha(spectrum: Spectrum, counts: list[int], times: Vector) -> NDArray[np.float64]:
    """The values of alpha for the `counts` smallest eigenvalues after the first zero."""
    order = np.argsort(spectrum.points, axis=None)
    points = np.concatenate([[0.0], spectrum.points.ravel()[order]])
    weights = np.concatenate([[spectrum.zeros - 1], spectrum.weights.ravel()[order] / spectrum.probes])
    points, weights = points[weights > 0], weights[weights > 0]
    before = np.cumsum(weights) - weights
    with np.errstate(invalid="ignore"):  # inf * 0
        exponents = np.nan_to_num(np.multiply.outer(times, points - points[0]), nan=0.0, posinf=np.inf)
    decay = np.exp(-exponents)
    among = np.stack([np.clip(count - before, 0, weights) for count in counts])
    alpha: NDArray[np.float64] = (among @ decay.T) / (decay @ weights)
    return alpha
