import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup, laplacian
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.laplacian import laplacian_of


def test_isolated_nodes_are_components_of_their_own():
    parts = components(laplacian_of(sp.csr_array(np.diag([1.0, 0, 0, 2.0], k=1) + np.diag([1.0, 0, 0, 2.0], k=-1))))
    assert (parts.count, parts.isolated) == (3, 1)
    assert parts.sizes.tolist() == [2, 1, 2]
    assert parts.giant.tolist() == [True, True, False, False, False]
    means = parts.means(np.array([1.0, 3, 5, 7, 8]))
    assert means.tolist() == [2, 2, 5, 7.5, 7.5]
    assert parts.means(np.array([[1.0, 3, 5, 7, 8]] * 2).T).T.tolist() == [means.tolist()] * 2


@given(seed=st.integers(0, 2**31), density=st.floats(0, 1), out=st.integers(1, 7), into=st.integers(1, 7))
def test_a_dense_layer_connects_what_its_edges_connect(seed, density, out, into):
    """The spanning edges of a panel against a search over all its edges."""
    rng = np.random.default_rng(seed)
    weights = rng.random((out, into)) * (rng.random((out, into)) < density)
    ends = rng.permutation(out + into)
    block = Block(
        name="a",
        sources=ends[:into],
        targets=ends[into:],
        weights=weights,
        kept=np.ones((out, into), dtype=int),
        size=out * into,
    )
    groups = (NodeGroup(name="all", start=0, stop=out + into),)
    graph = ChannelGraph(groups=groups, sources=ends[:into], sinks=ends[into:], blocks=(block,))
    assert len(laplacian(graph).panels) == 1
    count, labels = connected_components(graph.adjacency(), directed=False)
    parts = components(laplacian(graph))
    assert parts.count == count
    assert len(set(zip(parts.labels, labels, strict=True))) == count


def test_an_edge_of_conductance_0_joins_nothing(residual_block):
    parts = components(laplacian(residual_block))
    assert parts.count == 1
    silent = Block(
        name="silent",
        sources=np.arange(2),
        targets=np.arange(2, 4),
        weights=np.zeros((2, 2)),
        kept=np.ones((2, 2), dtype=int),
        size=4,
    )
    groups = (NodeGroup(name="all", start=0, stop=4),)
    graph = ChannelGraph(groups=groups, sources=np.arange(2), sinks=np.arange(2, 4), blocks=(silent,))
    assert components(laplacian(graph)).count == 4
    assert graph.edges == 4


def test_a_missing_identity_edge_is_noticed(residual_block):
    without = ChannelGraph(
        groups=residual_block.groups,
        sources=residual_block.sources,
        sinks=residual_block.sinks,
        blocks=residual_block.blocks[:2],
    )
    whole, damaged = (laplacian(graph).volume for graph in (residual_block, without))
    assert whole - damaged == pytest.approx(4)  # two edges of conductance 1, seen from both ends
