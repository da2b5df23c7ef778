from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import scree, scree_curves
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.laplacian import laplacian_of
from n2nsurgery.connectivity.heat.low_modes import low_modes
from n2nsurgery.connectivity.heat.spectrum import estimated_spectrum, exact_spectrum
from n2nsurgery.core.errors import UsageError

# The graph of test_heat.py: eight nodes, node 7 isolated.
ROWS, COLUMNS = [0, 0, 1, 2, 2, 3, 3, 4, 5], [2, 3, 3, 4, 5, 4, 5, 6, 6]
VALUES = [0.5, 1.25, 0.75, 2.0, 0.0625, 0.25, 1.5, 1.0, 0.125]
UPPER = sp.coo_array((VALUES, (ROWS, COLUMNS)), shape=(8, 8))
EIGHT = (UPPER + UPPER.T).tocsr()
TIMES = [0.0, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
GOLDEN = {
    12.5: [0.14285714285714285, 0.1458976040645663, 0.17349769415540636, 0.41126295873705404, 0.9854908726182301, 1, 1],
    25: [0.2857142857142857, 0.2911806034492152, 0.33982367032724764, 0.6809023471019982, 0.9999549249166251, 1, 1],
    50: [0.5714285714285714, 0.5795224317391943, 0.6479214683136245, 0.9354387842744367, 0.9999999962630148, 1, 1],
}
EIGENVALUES = [0.42214734454676, 1.00151162581871, 1.3799532355464, 1.93903712158912, 4.7779782540289, 5.3543724184701]


def layered(widths, density, seed):
    """Random layers one after the other, as in a network at random initialization."""
    rng = np.random.default_rng(seed)
    blocks = [[None] * len(widths) for _ in widths]
    for index, (into, out) in enumerate(pairwise(widths)):
        blocks[index + 1][index] = sp.random_array((out, into), density=density, rng=rng) * (2 / out) ** 0.5
    for index, width in enumerate(widths):
        blocks[index][index] = sp.csr_array((width, width))
    lower = sp.block_array(blocks)
    return (lower + lower.T).tocsr()


def test_eight_nodes_have_their_golden_curves():
    # the golden numbers have 15 digits
    np.testing.assert_allclose(scree(EIGHT, list(GOLDEN), TIMES), list(GOLDEN.values()), rtol=0, atol=1e-14)
    np.testing.assert_allclose(scree(EIGHT, 25, TIMES), GOLDEN[25], rtol=0, atol=1e-14)


def test_zero_eigenvalues_are_counted_and_the_others_computed():
    operator = laplacian_of(EIGHT)
    spectrum = exact_spectrum(operator, components(operator), np.ones(8, dtype=bool))
    assert spectrum.zeros == 2
    np.testing.assert_allclose(spectrum.points, [EIGENVALUES], rtol=0, atol=1e-13)


def test_the_giant_component_alone_has_one_zero():
    rates = np.array(EIGENVALUES)
    for time in (0.0, 0.3, 5.0):
        # ceil(25 % of 7 nodes) = 2 of the six positive eigenvalues
        expected = np.exp(-time * rates[:2]).sum() / np.exp(-time * rates).sum()
        assert scree(EIGHT, 25, [time], giant=True)[0] == pytest.approx(expected, rel=1e-12)


def test_with_several_components_the_curve_never_reaches_1():
    five_pairs = sp.kron(sp.eye_array(5), np.array([[0, 1.0], [1, 0]]), format="csr")
    # 2 of the 4 zeros after the first one
    assert scree(five_pairs, 20, [1e6, np.inf]).tolist() == [0.5, 0.5]


def test_a_complete_graph_is_flat():
    # all positive eigenvalues are equal: the share is k / (n - 1) at every time
    # (they differ by roundings of 1e-14, which a time of 1e3 makes 1e-11)
    complete = sp.csr_array(np.ones((11, 11)) - np.eye(11))
    np.testing.assert_allclose(scree(complete, [10, 50], [0, 1, 1e3]), [[0.2] * 3, [0.6] * 3], rtol=1e-9)


@pytest.mark.parametrize("density", [1.0, 0.05])
def test_the_estimate_agrees_with_the_exact_curves(density):
    adjacency = layered([3, *[64] * 2, *[128] * 3, *[256] * 3, 10], density, 5)
    operator = laplacian_of(adjacency)
    parts = components(operator)
    everything = np.ones(operator.nodes, dtype=bool)
    exact = exact_spectrum(operator, parts, everything)
    slow = low_modes(operator, parts, 64, within=everything)
    estimate = estimated_spectrum(operator, parts, slow, within=everything)
    assert estimate.zeros == exact.zeros
    # a Ritz value has twice the digits of its residual, which is at most 1e-4
    assert slow.lambda_2 == pytest.approx(exact.points[0, 0], rel=1e-6)
    np.testing.assert_allclose(estimate.weights.sum(axis=1) + estimate.zeros, operator.nodes, rtol=1e-6)
    times = np.geomspace(0.01 / exact.points[0, -1], 30 / exact.points[0, 0], 50)
    right, found = (scree_curves(spectrum, [1, 5, 10, 25], times) for spectrum in (exact, estimate))
    error = np.abs(right.alpha - found.alpha)
    assert error.max() <= 5e-3  # the accuracy that is promised
    assert (error <= 5 * found.standard_error + 1e-3).all()
    assert not right.standard_error.any()
    assert 0 < found.standard_error.max() <= 1e-2


def test_the_estimate_depends_on_the_seed_only():
    adjacency = layered([3, 40, 50, 60, 10], 0.2, 6)
    first, again, other = (scree(adjacency, 10, [0.5, 5.0], exact_to=10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_estimate_of_next_to_nothing_is_exact():
    curve = scree(EIGHT, 25, TIMES, exact_to=1)
    # single precision
    np.testing.assert_allclose(curve, GOLDEN[25], rtol=0, atol=1e-5)
    assert scree(sp.csr_array((4, 4)), 50, [1.0], exact_to=1).tolist() == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(
    ("adjacency", "percent", "times", "message"),
    [
        (EIGHT, 0, [1], r"must lie in \(0, 100\]"),
        (EIGHT, [10, 101], [1], r"must lie in \(0, 100\]"),
        (EIGHT, 10, [-1], "numbers >= 0"),
        (sp.csr_array((1, 1)), 10, [1], "at least 2 nodes"),
    ],
)
def test_arguments_out_of_range_are_refused(adjacency, percent, times, message):
    with pytest.raises(UsageError, match=message):
        scree(adjacency, percent, times)
