"""Modes of a very hard spectrum by Lanczos on (1 + gamma L)^-1, for long times only.

Where t_max |L| >= 1e7 (long chains, parts of the graph that hang on a thread) polynomials in L need thousands of
steps.
(1 + gamma L)^-1 has the same eigenvectors, with the slow modes at the top and well apart:

    exp(-t L) v ~ |v| V_m exp(-t (T_m^-1 - 1) / gamma) e_1.

van den Eshof and Hochbruck, Preconditioning Lanczos approximations to the matrix exponential, SIAM J. Sci. Comput. 27
(2006). It needs a sparse factorisation, which is cheap on graphs that are chains or nearly trees and hopeless on large
expanders: `factorable` tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import eye_array
from scipy.sparse.linalg import splu

from n2nsurgery.connectivity.graph.channel_graph import Matrix
from n2nsurgery.connectivity.heat.components import GraphComponents
from n2nsurgery.connectivity.heat.lanczos import Krylov, lanczos
from n2nsurgery.connectivity.heat.laplacian import Laplacian, Vector
from n2nsurgery.connectivity.heat.modes import Modes

MOST_STEPS = 400
SMALL, MOST_EDGES_OF_SMALL = 20_000, 8  # nodes, edges a node: at worst 0.2 GB of factors
MOST_EDGES = 1.2  # edges a node of a larger graph: nearly a tree, next to no fill


def factorable(operator: Laplacian) -> bool:
    """Whether a sparse factorisation of 1 + gamma L is affordable."""
    edges = operator.sparse.nnz + sum(panel.weights.size for panel in operator.panels)
    most = MOST_EDGES_OF_SMALL if operator.nodes <= SMALL else MOST_EDGES
    return bool(edges <= most * operator.nodes)


def inverse_modes(
    operator: Laplacian, start: Vector, parts: GraphComponents, *, times: tuple[float, float], tolerance: float
) -> tuple[Modes, float]:
    """The modes for times[0] <= t <= times[1], and an estimate of |error| / |start|.

    The estimate is the change of the solution while the number of steps grew by a quarter, at nine times in between.
    """
    gamma = float(np.sqrt(times[0] * times[1]))
    stop = _Settled(gamma=gamma, times=np.geomspace(*times, 9), tolerance=tolerance)
    basis = lanczos(
        _inverse(operator, gamma), start, project=parts.means, stop=stop, most=MOST_STEPS, reorthogonalise=True
    )
    return _modes(basis, gamma), 0.0 if basis.betas[-1] == 0 else stop.change


@dataclass(kw_only=True, eq=False)
class _Inverse:
    """(1 + gamma L)^-1 as an operator."""

    factors: Matrix

    def __matmul__(self, x: Vector) -> Vector:
        product: Vector = self.factors.solve(x)
        return product


def _inverse(operator: Laplacian, gamma: float) -> _Inverse:
    matrix = (eye_array(operator.nodes, format="csc") + gamma * operator.assembled()).tocsc()
    options = {"SymmetricMode": True}
    return _Inverse(factors=splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options))


@dataclass(kw_only=True, eq=False)
class _Settled:
    """Stops where the solution has changed by less than `tolerance` since the last look, a quarter of the steps ago."""

    gamma: float
    times: Vector
    tolerance: float
    change: float = np.inf
    next_look: int = 8
    before: Vector | None = None

    def __call__(self, basis: Krylov) -> bool:
        if basis.steps < self.next_look:
            return False
        self.next_look = basis.steps * 5 // 4
        now = _modes(basis, self.gamma).coefficients(self.times)
        if self.before is not None:
            now_before = np.pad(self.before, ((0, 0), (0, now.shape[1] - self.before.shape[1])))
            self.change = float(np.linalg.norm(now - now_before, axis=1).max())
        self.before = now
        return self.change <= self.tolerance


def _modes(basis: Krylov, gamma: float) -> Modes:
    values, vectors = basis.ritz()
    rates = (1 / np.clip(values[::-1], 1e-300, 1) - 1) / gamma  # (1 + gamma L)^-1 has its eigenvalues in (0, 1]
    return Modes(basis=basis, rates=rates, vectors=vectors[:, ::-1])
