"""Lanczos on a symmetric positive semi-definite operator, with the projection that keeps it off the null space.

After m steps L Q_m = Q_m T_m + beta_m q_{m+1} e_m', with T_m tridiagonal (alpha on, beta beside the diagonal).

Every new vector is projected: rounding brings the null vectors back in and lets them grow, and then the smallest
Ritz value, and every saturation time with it, is wrong by orders of magnitude although sums of exponentials still look
right.

Reorthogonalisation is an option. Without it T_m holds copies of converged eigenvalues, which does no harm to
functions of T_m and is three to six times cheaper; with it every eigenvalue comes once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.heat.laplacian import Vector, tridiagonal_eigensystem

CHUNK = 64
"""Vectors that are stored together: products with the basis become matrix products, and growing copies nothing."""


class SymmetricOperator(Protocol):
    """What Lanczos needs to know of an operator: its product with a vector."""

    def __matmul__(self, x: Vector, /) -> Vector:
        """The product with a vector of length n."""


@dataclass(kw_only=True, eq=False)
class Krylov:
    """A growing Lanczos factorisation: `alphas` (m), `betas` (m, the last one couples to what is not there yet)."""

    alphas: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    chunks: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """m, the number of steps made."""
        return len(self.alphas)

    def ritz(self) -> tuple[Vector, NDArray[np.float64]]:
        """Eigenvalues of T_m, ascending, and its eigenvectors in columns."""
        return tridiagonal_eigensystem(self.alphas, self.betas[:-1])

    def combine(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, n): for each row of the (k, m) `coefficients` the sum over m of coefficient times basis vector."""
        total = np.zeros((len(coefficients), self.chunks[0].shape[1]))
        for start, chunk in self._filled():
            total += coefficients[:, start : start + len(chunk)] @ chunk
        return total

    def orthogonalise(self, w: Vector) -> None:
        """Remove from `w`, in place, what lies in the span of the basis."""
        for _, chunk in self._filled():
            w -= chunk.T @ (chunk @ w)

    def append(self, q: Vector) -> None:
        """Store the next basis vector."""
        index = self.steps
        if index % CHUNK == 0:
            self.chunks.append(np.empty((CHUNK, len(q))))
        self.chunks[-1][index % CHUNK] = q

    def _filled(self) -> list[tuple[int, NDArray[np.float64]]]:
        """The stored vectors, chunk by chunk, each with the number of its first."""
        starts = range(0, self.steps, CHUNK)
        return [(start, chunk[: self.steps - start]) for start, chunk in zip(starts, self.chunks, strict=False)]


def lanczos(  # noqa: PLR0913 - the operator, the start, and how far to go
    operator: SymmetricOperator,
    start: Vector,
    *,
    project: Callable[[Vector], Vector],
    stop: Callable[[Krylov], bool],
    most: int,
    reorthogonalise: bool = False,
) -> Krylov:
    """The factorisation from `start` (not 0), until `stop` says so, `most` steps, or an invariant subspace.

    `project` returns what has to be taken off a vector (its part in the null space). An invariant subspace ends with
    betas[-1] = 0: what it says is exact.
    """
    basis = Krylov()
    previous, beta, scale = np.zeros_like(start), 0.0, 0.0
    q = start / np.linalg.norm(start)
    while basis.steps < most:
        basis.append(q)
        w = operator @ q
        w -= beta * previous
        alpha = float(q @ w)
        w -= alpha * q
        w -= project(w)
        basis.alphas.append(alpha)
        if reorthogonalise:
            basis.orthogonalise(w)
        beta, scale = float(np.linalg.norm(w)), max(scale, abs(alpha), beta)
        exhausted = beta <= 1e-14 * scale  # rounding is all that is left of w
        basis.betas.append(0.0 if exhausted else beta)
        if stop(basis) or exhausted:
            break
        previous, q = q, w / beta
    return basis
