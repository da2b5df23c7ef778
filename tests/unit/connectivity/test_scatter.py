import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import scatter
from n2nsurgery.connectivity.paths.scatter_vector import random_scatter
from n2nsurgery.connectivity.paths.windows import cuts_of, window_numbers
from n2nsurgery.core.errors import UsageError

# An (8, 4, 4) network with fan-outs 1 and 2, both fan-ins 2.
A1 = np.zeros((4, 8), dtype=bool)
A1[[0, 0, 1, 1, 2, 2, 3, 3], [0, 4, 1, 5, 2, 3, 6, 7]] = True
A2 = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=bool)


def test_the_8_4_4_example_has_its_golden_vector():
    vector, minimum = scatter([A1, A2])
    assert vector.tolist() == [0.75, 1, 0.75, 0.75, 0.625, 0.75]
    assert minimum == 0.625


def test_sparse_junctions_and_numbers_count_like_booleans():
    assert (
        scatter([sp.csr_array(A1.astype(float)), A2.astype(int)]).vector.tolist() == scatter([A1, A2]).vector.tolist()
    )


def test_a_moved_connection_shows():
    moved = A1.copy()
    moved[0, [1, 4]] = moved[0, [4, 1]]
    assert moved.sum() == A1.sum()
    assert scatter([moved, A2]).vector.tolist() != scatter([A1, A2]).vector.tolist()


def test_a_junction_without_connections_has_scatter_0():
    assert scatter([np.zeros((3, 4), dtype=bool)]).minimum == 0


def test_a_dense_junction_behind_a_cut_one_does_not_mend_it():
    cut = np.ones((4, 4), dtype=bool)
    cut[2:] = False
    last = np.eye(4, dtype=bool)
    vector, _ = scatter([cut, last])
    # two of four outputs are reached; fan-in 2 x 1 makes two windows
    assert vector[-2:].tolist() == [0.5, 0.5]


def test_path_counts_never_overflow():
    network = [np.ones((64, 64), dtype=bool)] * 200  # 64^200 paths, more than a double holds
    assert scatter(network).minimum == 1


@pytest.mark.parametrize(
    ("shape", "wanted", "cuts"),
    [
        ((28, 28), 16, (4, 4)),
        ((28, 28), 17, (4, 4)),
        ((28, 28), 8, (2, 4)),
        ((3, 32, 32), 12, (3, 2, 2)),
        ((64, 7, 7), 8, (2, 2, 2)),
        ((64, 7, 7), 64, (4, 4, 4)),
        ((2, 2), 100, (2, 2)),
        ((100,), 7, (7,)),
    ],
)
def test_windows_follow_the_geometry(shape, wanted, cuts):
    found = cuts_of(shape, wanted)
    assert (np.prod(found), sorted(found)) == (np.prod(cuts), sorted(cuts))


def test_an_image_is_cut_into_squares():
    numbers = window_numbers((4, 4), 4.9).reshape(4, 4)
    assert numbers.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert window_numbers((8,), 2.7).tolist() == [0] * 4 + [1] * 4
    assert window_numbers((5,), 0.3).tolist() == [0] * 5


def test_a_pattern_that_sees_half_the_image_only_is_found_in_two_dimensions():
    """The paper's example: an output whose connections all come from one half of the image."""
    columns = np.zeros((1, 16), dtype=bool)
    columns[0, [0, 4, 8, 12]] = True  # the left edge of a 4 x 4 image
    assert scatter([columns]).vector[0] == 1
    assert scatter([columns], shapes=[(4, 4), (1,)]).vector[0] == 0.5


def test_random_layers_have_the_scatter_that_is_expected_of_them():
    junction = np.random.default_rng(0).random((512, 3072)) < 0.05
    found, expected = scatter([junction]).vector[:2], random_scatter(junction)
    assert expected[0] == pytest.approx(1 - np.exp(-1), abs=0.02)  # windows of 20 do not quite make the limit
    # means of 5e4 and more draws: a standard deviation of 2e-3
    np.testing.assert_allclose(found, expected, atol=8e-3)
    assert random_scatter(np.ones((3, 4), dtype=bool)) == (1, 1)


@pytest.mark.parametrize(
    ("junctions", "shapes", "message"),
    [
        ([], None, "no junction is given"),
        ([np.ones(3)], None, r"junction 0 has shape \(3,\)"),
        ([A2, A1], None, "junction 1 reads 8 neurons, junction 0 writes 4"),
        ([A1], [(2, 4)], "one shape for each layer"),
        ([A1], [(3, 3), (4,)], "one shape for each layer"),
    ],
)
def test_junctions_that_do_not_fit_are_refused(junctions, shapes, message):
    with pytest.raises(UsageError, match=message):
        scatter(junctions, shapes)


def test_sparse_junctions_have_the_scatter_of_dense_ones():
    rng = np.random.default_rng(0)
    network = [sp.random_array((60, 80), density=0.1, rng=rng), sp.random_array((50, 60), density=0.2, rng=rng)]
    network[0].data[:5] = 0  # stored, but no connection
    np.testing.assert_array_equal(scatter(network).vector, scatter([junction.toarray() for junction in network]).vector)
