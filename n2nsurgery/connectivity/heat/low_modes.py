"""The slowest modes of L: lambda_2 and the few eigenvalues beside it that decide how diffusion ends.

From one reorthogonalised Lanczos run with a random start, projected off the null space. What one start vector cannot
see (further copies of a multiple eigenvalue) is missing here; whoever deflates by these modes still finds it outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.heat.components import GraphComponents
from n2nsurgery.connectivity.heat.lanczos import Krylov, lanczos
from n2nsurgery.connectivity.heat.laplacian import Laplacian, Vector
from n2nsurgery.core.seeds import numpy_generator

ACCURACY = 1e-4
"""|L x - theta x| / theta of a converged lambda_2: four correct digits at least, about eight as a rule."""
ROUGH = 0.2
"""The same for the modes beside it: sums of exponentials feel the square of it, and deflation by any vectors is
exact as long as what is left is measured outside them."""
FEWEST_STEPS, MOST_STEPS = 120, 600
STEPS_TIMES_NODES = 2_400_000  # the smaller a graph, the more the single mode matters, and the less it costs


@dataclass(frozen=True, kw_only=True, eq=False)
class LowModes:
    """The smallest positive eigenvalues (k,), ascending, and their orthonormal approximate eigenvectors (k, n).

    `residual` is |L x - lambda x| / lambda of the first. Empty where L is 0.
    """

    values: Vector
    vectors: NDArray[np.float64]
    residual: float

    @property
    def lambda_2(self) -> float:
        """The smallest positive eigenvalue, an upper bound of it where `residual` is above ACCURACY; inf: none."""
        return float(self.values[0]) if len(self.values) else np.inf


def low_modes(
    operator: Laplacian, parts: GraphComponents, count: int, *, within: NDArray[np.bool_], seed: int = 0
) -> LowModes:
    """At most `count` of the slowest modes on the nodes `within` (whole components), the first of them accurate.

    Those that 120 Lanczos steps find (more for fewer than 20,000 nodes, or where lambda_2 takes them; at most 600).
    """
    start = np.where(within, numpy_generator(seed, "low-modes").standard_normal(operator.nodes), 0.0)
    start -= parts.means(start)
    if np.linalg.norm(start) <= 1e-12 * operator.nodes**0.5:  # isolated nodes only
        return LowModes(values=np.empty(0), vectors=np.empty((0, operator.nodes)), residual=0.0)
    usual = min(max(FEWEST_STEPS, STEPS_TIMES_NODES // operator.nodes), MOST_STEPS)

    def lambda_2_is_known(basis: Krylov) -> bool:
        return basis.steps >= usual and basis.steps % 40 == 0 and bool(_residuals(basis)[0] <= ACCURACY)

    basis = lanczos(operator, start, project=parts.means, stop=lambda_2_is_known, most=MOST_STEPS, reorthogonalise=True)
    values, vectors = basis.ritz()
    residuals = _residuals(basis)
    known = int(np.argmin(np.append(residuals <= ROUGH, False)))  # one after the other, from the first
    found = min(count, max(known, 1))
    return LowModes(values=values[:found], vectors=basis.combine(vectors[:, :found].T), residual=float(residuals[0]))


def _residuals(basis: Krylov) -> Vector:
    """|L x - theta x| / theta of every Ritz pair."""
    values, vectors = basis.ritz()
    residuals: Vector = np.abs(vectors[-1]) * basis.betas[-1] / values
    return residuals
