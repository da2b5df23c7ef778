import numpy as np
import pytest

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup, laplacian
from n2nsurgery.core.errors import UsageError


def block(**changes):
    weights = changes.pop("weights", np.ones((2, 2)))
    given = {
        "name": "conv",
        "sources": np.arange(2),
        "targets": np.arange(2, 4),
        "weights": weights,
        "kept": np.ones((2, 2), dtype=int),
        "size": 4,
    }
    return Block(**given | changes)


def graph(*blocks, **changes):
    given = {"groups": (NodeGroup(name="all", start=0, stop=4),), "sources": np.arange(2), "sinks": np.arange(2, 4)}
    return ChannelGraph(blocks=blocks, **given | changes)


def test_a_residual_block_has_these_edges_and_no_others(residual_block):
    expected = np.zeros((7, 7))
    for i, j, conductance in [
        (0, 2, 1), (1, 2, 2), (1, 3, 3), (2, 5, 4), (4, 5, 0.5), (4, 6, 0.25), (0, 5, 1), (1, 6, 1),
    ]:  # fmt: skip
        expected[i, j] = expected[j, i] = conductance
    np.testing.assert_array_equal(residual_block.adjacency().toarray(), expected)
    assert (residual_block.nodes, residual_block.edges) == (7, 8)
    assert [layer.name for layer in residual_block.layers] == ["a", "b"]
    assert [layer.kept_weights for layer in residual_block.blocks] == [6, 3, 0]


def test_the_laplacian_by_blocks_is_d_minus_w(residual_block):
    adjacency = residual_block.adjacency().toarray()
    expected = np.diag(adjacency.sum(axis=0)) - adjacency
    operator = laplacian(residual_block)
    assert len(operator.panels) == 2
    columns = np.stack([operator @ unit for unit in np.eye(7)], axis=1)
    # sums of at most five numbers in another order
    np.testing.assert_allclose(columns, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(operator @ np.eye(7), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(operator.assembled().toarray(), expected, rtol=0, atol=1e-14)
    # single precision: seven digits of numbers up to 10
    np.testing.assert_allclose(operator.in_single() @ np.eye(7, dtype=np.float32), expected, rtol=0, atol=1e-5)


def test_scattered_nodes_are_addressed_one_by_one():
    scattered = graph(
        block(sources=np.array([3, 0]), targets=np.array([2, 1]), weights=np.array([[1.0, 2.0], [3.0, 4.0]])),
        sources=np.array([0, 3]),
        sinks=np.array([1, 2]),
    )
    expected = np.zeros((4, 4))
    for i, j, conductance in [(2, 3, 1), (2, 0, 2), (1, 3, 3), (1, 0, 4)]:
        expected[i, j] = expected[j, i] = -conductance
    off_diagonal = laplacian(scattered) @ np.eye(4)
    np.fill_diagonal(off_diagonal, 0)
    np.testing.assert_array_equal(off_diagonal, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones((2, 3))}, r"'weights' has shape \(2, 3\), nodes need \(2, 2\)"),
        ({"weights": np.array([[1, np.nan], [np.inf, 1]])}, "2 weights are NaN or infinite"),
        ({"weights": np.array([[1, -0.5], [0, 1]])}, r"smallest weight is -0\.5"),
    ],
)
def test_a_block_refuses_what_conducts_no_heat(changes, message):
    with pytest.raises(UsageError, match=message):
        block(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: graph(block(targets=np.array([2, 4]))), r"do not all lie in \[0, 3\]"),
        (lambda: graph(block(targets=np.array([2, 2]))), "a node occurs twice"),
        (lambda: graph(block(), sources=np.empty(0, dtype=int)), "has no sources"),
        (lambda: graph(block(), block(sources=np.arange(2, 4), targets=np.arange(2))), "order of execution"),
        (lambda: graph(block(targets=np.array([1, 2]))), "order of execution"),
    ],
)
def test_a_graph_refuses_blocks_that_do_not_fit(make, message):
    with pytest.raises(UsageError, match=message):
        make()
