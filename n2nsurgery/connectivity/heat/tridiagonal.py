"""Eigenvalues and eigenvectors of a symmetric tridiagonal matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh_tridiagonal

from n2nsurgery.connectivity.heat.laplacian import Vector


def tridiagonal_eigensystem(
    diagonal: Sequence[float] | Vector, beside: Sequence[float] | Vector
) -> tuple[Vector, NDArray[np.float64]]:
    """Eigenvalues (m), ascending, and eigenvectors as columns (m, m): `diagonal` (m), and what is `beside` it (m-1).

    LAPACK's stemr is the fastest, but may not converge (seen with SciPy 1.15). Then stev, a QR iteration, takes up to
    ten times as long.
    """
    if len(diagonal) == 1:
        return np.array(diagonal, dtype=np.float64), np.ones((1, 1))
    try:
        values, vectors = eigh_tridiagonal(diagonal, beside, lapack_driver="stemr")
    except LinAlgError:
        values, vectors = eigh_tridiagonal(diagonal, beside, lapack_driver="stev")
    return values, vectors
