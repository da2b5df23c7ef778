"""What must hold of every heat signature; a breach is a bug of ours, but for weights that double precision cannot hold.

0 <= S_i <= 1, sum_i S_i = n_in at every t, S(0) = A, and F = |S_ref - S| <= sqrt(2 n_in): two vectors of entries in
[0, 1] and of sum n_in have squared norms of at most n_in each, and an inner product that is not negative.
"""

from __future__ import annotations

import numpy as np

from n2nsurgery.connectivity.heat.heat import Heat
from n2nsurgery.connectivity.heat.laplacian import Laplacian, Vector
from n2nsurgery.core.errors import InternalError, RunError

ROUNDING = 1e-9
"""Ten thousand times what a heat flow loses in double precision, a thousandth of what any verdict rests on."""


def require_sane(heat: Heat) -> None:
    """Raise InternalError where a solved heat flow breaks one of its laws, at five times from 0 to saturation."""
    signature = heat.at(heat.time_grid(5, 1e-6))
    if (start := float(np.abs(signature[0] - heat.initial).max())) > ROUNDING:
        raise InternalError(f"the heat signature starts {start:.3g} off its sources; S(0) must be A")
    if (least := float(signature.min())) < -ROUNDING or (most := float(signature.max())) > 1 + ROUNDING:
        raise InternalError(f"a node holds the heat {least if least < 0 else most:.12g}; it must lie in [0, 1]")
    total = float(heat.initial.sum())
    if (loss := float(np.abs(signature.sum(axis=1) - total).max())) > ROUNDING * total:
        raise InternalError(f"{loss:.3g} of the heat {total:g} got lost or came from nowhere; it must be conserved")


def require_known(heat: Heat, operator: Laplacian) -> None:
    """Raise RunError where rounding may move this heat by more than ROUNDING; for a heat that breaks a law.

    A product with L is off by the largest degree times 1e-16, and the slowest heat sums that up over 1 / theta_1.
    """
    largest = float(operator.degrees.max())
    doubt = float(np.finfo(float).eps) * largest / heat.theta_1
    if not doubt <= ROUNDING:
        raise RunError(
            f"the conductances are too far apart for double precision: the largest channel conducts {largest:.2g}, the"
            f" slowest heat settles at a rate of {heat.theta_1:.2g}. Look for weights that have grown without bounds,"
            " or count connections alone with --conductance binary"
        )


def require_bounded(distances: Vector, sources: int) -> None:
    """Raise InternalError where a distance F between signatures of `sources` sources exceeds sqrt(2 n_in)."""
    bound = (2 * sources) ** 0.5
    if (largest := float(np.max(distances))) > bound + ROUNDING:
        raise InternalError(f"F = {largest:.6g} exceeds its bound sqrt(2 * {sources}) = {bound:.6g}")
