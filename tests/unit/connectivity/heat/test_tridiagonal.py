import numpy as np
import pytest
import scipy.linalg

from n2nsurgery.connectivity.heat import laplacian
from n2nsurgery.connectivity.heat.laplacian import tridiagonal_eigensystem


@pytest.fixture(params=["stemr converges", "stemr gives up"])
def converges(request, monkeypatch):
    """Whether LAPACK's fastest driver finds the eigenvalues."""

    def giving_up(*matrix, lapack_driver):
        if lapack_driver == "stemr":
            raise scipy.linalg.LinAlgError("stemr (eigh_tridiagonal) did not converge (LAPACK info=22)")
        return scipy.linalg.eigh_tridiagonal(*matrix, lapack_driver=lapack_driver)

    if request.param == "stemr gives up":
        monkeypatch.setattr(laplacian, "eigh_tridiagonal", giving_up)


@pytest.mark.usefixtures("converges")
@pytest.mark.parametrize("steps", [1, 2, 60])
def test_values_ascend_and_vectors_are_orthonormal_and_make_the_matrix(steps):
    rng = np.random.default_rng(steps)
    diagonal, beside = 10 ** rng.uniform(-2, 2, steps), 10 ** rng.uniform(-2, 2, steps - 1)
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = tridiagonal_eigensystem(diagonal, beside)
    assert (np.diff(values) >= 0).all()
    # rounding of 60 rotations, times the norm, at most 300
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(steps), rtol=0, atol=1e-12)
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, rtol=0, atol=1e-10)
