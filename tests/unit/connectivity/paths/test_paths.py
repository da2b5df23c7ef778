from itertools import pairwise
from math import inf, log10

import numpy as np
import pytest

from n2nsurgery.connectivity import ChannelGraph, effective_density
from n2nsurgery.connectivity.paths.paths import log10_edge_paths, log10_path_norm, log10_paths
from n2nsurgery.connectivity.paths.ramanujan import expansion
from n2nsurgery.connectivity.paths.reach import chain, connections, reach
from n2nsurgery.core.errors import UsageError


def test_dead_channels_of_a_residual_block(residual_block):
    found = reach(residual_block)
    # channel 3 is read by nobody, channel 4 reads nothing
    assert np.flatnonzero(~found.alive).tolist() == [3, 4]
    # of two weights on each of three edges one pair leads to channel 3; two of three weights of `b` come from channel 4
    assert [found.effective_weights(block) for block in residual_block.blocks] == [4, 1, 0]
    assert connections(residual_block).tolist() == [[True, True], [False, True]]


def test_paths_of_a_residual_block(residual_block):
    # 0 and 1 -> 2 -> 5, two ways each, and the two identity edges
    assert log10_paths(residual_block) == pytest.approx(log10(2 + 2 + 2))
    assert log10_edge_paths(residual_block) == pytest.approx(log10(1 + 1 + 2))
    assert log10_path_norm(residual_block) == pytest.approx(log10(1 * 4 + 2 * 4 + 2))


def test_a_missing_identity_edge_is_a_missing_path(residual_block):
    without = ChannelGraph(
        groups=residual_block.groups,
        sources=residual_block.sources,
        sinks=residual_block.sinks,
        blocks=residual_block.blocks[:2],
    )
    assert log10_edge_paths(without) == pytest.approx(log10(2))
    assert connections(without).tolist() == [[True, True], [False, False]]


def test_more_paths_than_a_double_holds():
    graph = chain([np.ones((50, 50), dtype=bool)] * 300)
    assert log10_paths(graph) == pytest.approx(301 * log10(50))
    assert log10_path_norm(graph) == pytest.approx(301 * log10(50))


def test_no_path_is_minus_infinity():
    cut = chain([np.ones((2, 3)), np.zeros((2, 2)), np.ones((2, 2))])
    assert log10_paths(cut) == log10_path_norm(cut) == -inf
    assert log10_paths(chain([[[1, 0], [0, 0]], [[0, 1], [0, 0]]])) == -inf


@pytest.mark.parametrize("swap", [False, True])
def test_connections_are_swept_from_either_end_alike(swap):
    rng = np.random.default_rng(0)
    sizes = (300, 20, 270) if swap else (270, 20, 300)
    first, second = (rng.random((out, into)) < 0.03 for into, out in pairwise(sizes))
    expected = second.astype(int) @ first.astype(int) > 0
    np.testing.assert_array_equal(connections(chain([first, second])), expected)


def test_effective_density_leaves_out_what_lies_on_no_path():
    first = np.array([[1, 1], [0, 1], [0, 0]])
    second = np.array([[1, 0, 1], [0, 0, 0]])
    # on a path: first[0, :] and second[0, 0]; 3 of 12
    assert effective_density([first, second]) == 3 / 12
    assert effective_density([np.ones((3, 4)), np.ones((2, 3))]) == 1


def test_junctions_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="junction 1 reads 2 neurons"):
        effective_density([np.ones((3, 2)), np.ones((1, 2))])


def only_block(matrix):
    return chain([np.asarray(matrix)]).blocks[0]


def test_the_gap_of_known_graphs():
    # a full layer has rank 1
    full = expansion(only_block(np.ones((4, 9))))
    assert (full.sigma_2, full.gap) == (0, pytest.approx(8**0.5 + 3**0.5))
    # two full layers side by side do not mix: sigma_2 is as large as sigma_1 = sqrt(2 * 3)
    apart = expansion(only_block(np.kron(np.eye(2), np.ones((2, 3)))))
    assert apart.sigma_2 == pytest.approx(6**0.5)
    assert apart.gap == pytest.approx(2**0.5 + 1 - 6**0.5)
    # dead channels change nothing
    assert expansion(only_block(np.pad(np.kron(np.eye(2), np.ones((2, 3))), 2))) == apart
    assert expansion(only_block(np.zeros((3, 3)))) is None
    assert expansion(only_block([[1, 0, 1]])).sigma_2 == 0
    # one edge for each channel falls into parts wherever it is
    assert expansion(only_block(np.eye(4, 9))) is None
    assert expansion(only_block(np.kron(np.ones((1, 3)), np.eye(3)))) is None


def test_the_gap_of_a_large_layer_is_that_of_all_its_singular_values():
    matrix = np.random.default_rng(1).random((300, 400)) < 0.05
    # the iteration stops at 1e-6 of the singular value
    assert expansion(only_block(matrix)).sigma_2 == pytest.approx(np.linalg.svd(matrix)[1][1], rel=1e-5)
