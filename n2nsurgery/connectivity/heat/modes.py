"""Modes: the part of a spectrum that one start vector excites, enough to evaluate exp(-t L) v at any t."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.heat.lanczos import Krylov
from n2nsurgery.connectivity.heat.laplacian import Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """exp(-t L) v / |v| = basis * vectors * diag(exp(-t rates)) * vectors[0].

    `rates` (m, ascending) approximate eigenvalues of L, `vectors` (m, m) are the modes in terms of the basis.
    """

    basis: Krylov
    rates: Vector
    vectors: NDArray[np.float64]

    @classmethod
    def of(cls, basis: Krylov) -> Modes:
        """The Ritz modes of a factorisation of L."""
        rates, vectors = basis.ritz()
        return cls(basis=basis, rates=rates, vectors=vectors)

    def at(self, times: Vector) -> NDArray[np.float64]:
        """exp(-t L) v / |v| for every t: (len(times), n). t = inf gives 0."""
        return self.basis.combine(self.coefficients(times))

    def coefficients(self, times: Vector) -> NDArray[np.float64]:
        """The same in terms of the basis: (len(times), m)."""
        coefficients: NDArray[np.float64] = (self._decay(times) * self.vectors[0]) @ self.vectors.T
        return coefficients

    def norm(self, times: Vector) -> Vector:
        """|exp(-t L) v| / |v| by Gauss quadrature, (e_1' exp(-2 t T) e_1)^(1/2): exact to twice the degree of `at`."""
        squared: Vector = self._decay(2 * times) @ self.vectors[0] ** 2
        return np.sqrt(squared)

    def _decay(self, times: Vector) -> NDArray[np.float64]:
        decay: NDArray[np.float64] = np.exp(-np.multiply.outer(times, self.rates))
        return decay
