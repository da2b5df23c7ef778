"""The spectrum of L as weighted points: exact for small graphs, by stochastic Lanczos quadrature for large ones.

A spectrum is what sums over eigenvalues need, sum_k f(lambda_k) = sum_i weight_i f(point_i). Zero eigenvalues are
counted by graph search; one that is found numerically would be 1e-14, and e^{-t lambda} of it wrong for long times.

Estimate: the slowest modes X are computed, for at long times few of them are the whole sum; the rest of the trace
comes from random probes z outside the span of X, each by the Gauss quadrature of a short Lanczos run from z,

    tr f(L) ~ (n' / p) sum_{probes} sum_i (e_1' y_i)^2 f(theta_i),    n' the number of eigenvalues left.

Ubaru, Chen and Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM J. Matrix Anal. 38 (2017);
the split is that of Hutch++ (Meyer, Musco, Musco and Woodruff, SOSA 2021). Single precision is plenty for the probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from n2nsurgery.connectivity.heat.components import GraphComponents
from n2nsurgery.connectivity.heat.laplacian import Laplacian, Vector, tridiagonal_eigensystem
from n2nsurgery.connectivity.heat.low_modes import LowModes
from n2nsurgery.core.seeds import numpy_generator

STEPS = 40
FEWEST_PROBES, MOST_PROBES = 8, 64
PROBES_TIMES_NODES = 600_000  # the standard error falls with the root of this product: 2e-3 of alpha
PROJECT_EVERY = 5  # steps in which rounding cannot bring the null space back


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """`zeros` eigenvalues 0, and positive `points` with `weights` for each probe, (probes, m); exact ones weigh 1.

    The weights of every row, and `zeros`, add up to the number of nodes.
    """

    zeros: int
    points: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def probes(self) -> int:
        """Number of independent estimates; 1 where the spectrum is exact."""
        return len(self.points)

    def without(self, probe: int) -> Spectrum:
        """The spectrum from all the other probes."""
        return Spectrum(
            zeros=self.zeros, points=np.delete(self.points, probe, 0), weights=np.delete(self.weights, probe, 0)
        )


def exact_spectrum(operator: Laplacian, parts: GraphComponents, within: NDArray[np.bool_]) -> Spectrum:
    """All eigenvalues on the nodes `within` (whole components), by dense eigensolves component by component."""
    matrix = operator.assembled().tocsr()
    labels = np.unique(parts.labels[within])
    found = [np.empty(0)]
    for label in labels[parts.sizes[labels] > 1]:
        members = np.flatnonzero(parts.labels == label)
        dense = matrix[members][:, members].toarray()
        found.append(eigh(dense, eigvals_only=True, overwrite_a=True, check_finite=False)[1:])
    points = np.sort(np.concatenate(found))[None]
    return Spectrum(zeros=len(labels), points=points, weights=np.ones_like(points))


def estimated_spectrum(
    operator: Laplacian, parts: GraphComponents, slow: LowModes, *, within: NDArray[np.bool_], seed: int = 0
) -> Spectrum:
    """The spectrum on the nodes `within` (whole components): the modes `slow` exactly, the rest from 8 probes."""
    zeros = len(np.unique(parts.labels[within]))
    rest = int(np.count_nonzero(within)) - zeros - len(slow.values)
    if rest <= 0:
        return Spectrum(zeros=zeros, points=slow.values[None], weights=np.ones((1, len(slow.values))))
    count = min(max(FEWEST_PROBES, -(-PROBES_TIMES_NODES // operator.nodes)), MOST_PROBES)
    probes = numpy_generator(seed, "spectrum").standard_normal((operator.nodes, count)) * within[:, None]
    probes -= slow.vectors.T @ (slow.vectors @ probes)
    alphas, betas = _lanczos_of_columns(operator.in_single(), parts, probes.astype(np.float32), min(STEPS, rest))
    quadratures = [_quadrature(alpha, beta) for alpha, beta in zip(alphas.T, betas.T, strict=True)]
    exact = np.broadcast_to(slow.values, (count, len(slow.values)))
    return Spectrum(
        zeros=zeros,
        points=np.concatenate([exact, np.stack([points for points, _ in quadratures])], axis=1),
        weights=np.concatenate([np.ones_like(exact), rest * np.stack([w for _, w in quadratures])], axis=1),
    )


def _lanczos_of_columns(
    operator: Laplacian, parts: GraphComponents, start: NDArray[np.float32], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lanczos for every column of `start` at once: alphas and betas, (steps, columns). No basis is kept."""
    alphas, betas = np.zeros((2, steps, start.shape[1]))
    q = start - parts.means(start)
    q /= np.linalg.norm(q, axis=0)
    previous, beta = np.zeros_like(q), np.zeros(start.shape[1], dtype=np.float32)
    for step in range(steps):
        w = operator @ q
        w -= beta * previous
        alpha = np.einsum("ij,ij->j", q, w)
        w -= alpha * q
        if step % PROJECT_EVERY == 0:
            w -= parts.means(w)
        beta = np.linalg.norm(w, axis=0)
        alphas[step], betas[step] = alpha, beta
        # an exhausted column goes on as zeros, which a beta of (nearly) zero keeps out of the quadrature
        previous, q = q, w / np.where(beta > 1e-5 * alphas.max(axis=0), beta, np.inf).astype(np.float32)
    return alphas, betas


def _quadrature(alphas: Vector, betas: Vector) -> tuple[Vector, Vector]:
    """Gauss points, clipped to the positive axis, and their weights, which add up to 1."""
    points, vectors = tridiagonal_eigensystem(alphas, betas[:-1])
    return np.clip(points, 0, None), vectors[0] ** 2
