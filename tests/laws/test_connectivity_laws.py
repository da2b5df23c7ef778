"""Laws that hold for every graph, network or pattern of connections."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from n2nsurgery.connectivity import (
    Block,
    ChannelGraph,
    NodeGroup,
    effective_density,
    heat_signature,
    saturated_signature,
    saturation_time,
    scatter,
    scree,
    solve_heat,
)
from n2nsurgery.connectivity.heat.laplacian import laplacian_of
from n2nsurgery.connectivity.paths.paths import log10_edge_paths
from n2nsurgery.connectivity.paths.reach import connections, reach

TIMES = np.array([0.0, 1e-3, 0.1, 1.0, 7.0, 300.0, np.inf])
SEEDS = st.integers(0, 2**31)
SIZES = st.integers(2, 14)
DENSITIES = st.floats(0.05, 1)


def random_graph(seed, nodes, density):
    """Conductances over four orders of magnitude, and sources among the nodes."""
    rng = np.random.default_rng(seed)
    upper = np.triu(10 ** rng.uniform(-2, 2, (nodes, nodes)) * (rng.random((nodes, nodes)) < density), k=1)
    sources = rng.choice(nodes, rng.integers(1, nodes), replace=False)
    return sp.csr_array(upper + upper.T), np.sort(sources)


@given(seed=SEEDS, nodes=SIZES, density=DENSITIES)
def test_heat_is_conserved_and_stays_within_0_and_1(seed, nodes, density):
    adjacency, sources = random_graph(seed, nodes, density)
    signature = heat_signature(adjacency, sources, TIMES)
    np.testing.assert_array_less(-1e-11, signature)  # the tolerance of the solver
    np.testing.assert_array_less(signature, 1 + 1e-11)
    np.testing.assert_allclose(signature.sum(axis=1), len(sources), rtol=0, atol=1e-10)
    np.testing.assert_allclose(signature[0], np.isin(np.arange(nodes), sources), rtol=0, atol=1e-12)  # LAPACK's modes
    np.testing.assert_array_equal(signature[-1], saturated_signature(adjacency, sources))


@given(seed=SEEDS, nodes=SIZES, density=DENSITIES)
def test_the_norm_of_heat_never_grows(seed, nodes, density):
    adjacency, sources = random_graph(seed, nodes, density)
    norms = np.linalg.norm(heat_signature(adjacency, sources, TIMES), axis=1)
    assert (np.diff(norms) <= 1e-11).all()


@given(seed=SEEDS, nodes=SIZES, density=DENSITIES)
def test_numbering_the_nodes_anew_changes_nothing(seed, nodes, density):
    adjacency, sources = random_graph(seed, nodes, density)
    order = np.random.default_rng(seed).permutation(nodes)
    shuffled, moved = adjacency[order][:, order], np.flatnonzero(np.isin(order, sources))
    before, after = heat_signature(adjacency, sources, TIMES), heat_signature(shuffled, moved, TIMES)
    np.testing.assert_allclose(after, before[:, order], rtol=0, atol=2e-11)  # two solves
    # sums of exponentials to the accuracy of the eigenvalues, 1e-14 of at most 1e3, times t
    np.testing.assert_allclose(scree(shuffled, 30, [0, 0.1]), scree(adjacency, 30, [0, 0.1]), rtol=0, atol=1e-9)


@given(seed=SEEDS, nodes=SIZES, density=DENSITIES)
def test_no_heat_crosses_to_another_component(seed, nodes, density):
    first, sources = random_graph(seed, nodes, density)
    second, _ = random_graph(seed + 1, nodes, density)
    signature = heat_signature(sp.block_diag([first, second], format="csr"), sources, TIMES)
    np.testing.assert_array_equal(signature[:, nodes:], 0)
    np.testing.assert_allclose(signature[:, :nodes], heat_signature(first, sources, TIMES), rtol=0, atol=2e-11)


@given(seed=SEEDS, nodes=SIZES, densities=st.tuples(DENSITIES, DENSITIES))
def test_two_signatures_are_never_further_apart_than_the_bound(seed, nodes, densities):
    one, sources = random_graph(seed, nodes, densities[0])
    other, _ = random_graph(seed + 1, nodes, densities[1])
    apart = heat_signature(one, sources, TIMES) - heat_signature(other, sources, TIMES)
    assert np.linalg.norm(apart, axis=1).max() <= np.sqrt(2 * len(sources)) + 1e-10


@given(seed=SEEDS, nodes=SIZES, factor=st.floats(0.01, 100))
def test_stronger_edges_are_faster_time(seed, nodes, factor):
    adjacency, sources = random_graph(seed, nodes, 0.5)
    slow, fast = heat_signature(adjacency, sources, factor * TIMES), heat_signature(factor * adjacency, sources, TIMES)
    np.testing.assert_allclose(slow, fast, rtol=0, atol=2e-11)
    # a root to 1e-13 of its logarithm, of rates that are good to about 1e-10
    assert factor * saturation_time(factor * adjacency, sources) == pytest.approx(
        saturation_time(adjacency, sources), rel=1e-7
    )


@given(seed=SEEDS, nodes=SIZES, density=DENSITIES, percent=st.floats(1, 100))
def test_scree_curves_grow_from_the_share_of_the_modes(seed, nodes, density, percent):
    adjacency, _ = random_graph(seed, nodes, density)
    alpha = scree(adjacency, percent, TIMES)
    count = min(max(1, np.ceil(round(percent * nodes / 100, 9))), nodes - 1)
    assert alpha[0] == pytest.approx(count / (nodes - 1))
    assert (np.diff(alpha) >= -1e-9).all()
    assert alpha[-1] <= 1 + 1e-12


def chain_of_layers(width, layers, sequential, spans):
    """Full layers of conductance `sequential`, and skips of the given spans and conductances."""
    matrix = np.zeros((layers, layers))
    for span, conductance in {1: sequential, **spans}.items():
        matrix += np.diag(np.full(layers - span, conductance), k=span)
    return sp.csr_array(np.kron(matrix + matrix.T, np.ones((width, width))))


@pytest.mark.parametrize("length", [2, 3, 5])
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_skips_speed_up_a_long_chain_as_predicted(length, ratio):
    """theta(N2NSkip) / theta(RP) = (1 - r) + r k^2 for skip ratio r and skip length k."""
    without = chain_of_layers(2, 200, 1.0, {})
    skipped = chain_of_layers(2, 200, 1 - ratio, {length: ratio})
    sources = np.arange(400) < 2
    rates = [solve_heat(laplacian_of(graph), sources.astype(float)).theta_1 for graph in (without, skipped)]
    # what both ends of the chain lack in skips: k of 200 layers
    assert rates[1] / rates[0] == pytest.approx(1 - ratio + ratio * length**2, rel=length / 100)


def random_chain(seed, sizes, density):
    rng = np.random.default_rng(seed)
    return [rng.random((out, into)) < density for into, out in pairwise(sizes)]


LAYERS = st.lists(st.integers(1, 6), min_size=2, max_size=5)


@given(sizes=LAYERS)
def test_full_layers_have_scatter_1(sizes):
    assert scatter([np.ones((out, into)) for into, out in pairwise(sizes)]).vector.tolist() == [1] * 2 * len(sizes)


@given(seed=SEEDS, sizes=LAYERS, density=DENSITIES)
def test_scatter_lies_in_0_and_1_and_its_minimum_is_its_minimum(seed, sizes, density):
    vector, minimum = scatter(random_chain(seed, sizes, density))
    assert len(vector) == 2 * len(sizes)
    assert 0 <= minimum == min(vector) <= max(vector) <= 1


@given(seed=SEEDS, sizes=LAYERS, density=DENSITIES)
def test_backwards_scatter_is_that_of_the_reversed_network(seed, sizes, density):
    network = random_chain(seed, sizes, density)
    forwards = scatter(network).vector.reshape(-1, 2)
    backwards = scatter([junction.T for junction in reversed(network)]).vector.reshape(-1, 2)
    expected = np.concatenate([backwards[:-1][::-1, ::-1], backwards[-1:, ::-1]])
    np.testing.assert_array_equal(forwards, expected)


def all_paths(edges, sources, sinks):
    """Every path from a source to a sink, as a list of edges, by exhaustive search."""
    found, open_paths = [], [(source, []) for source in sources]
    while open_paths:
        node, path = open_paths.pop()
        if node in sinks:
            found.append(path)
        open_paths += [(end, [*path, (start, end)]) for start, end in edges if start == node]
    return found


@given(seed=SEEDS, sizes=LAYERS, density=DENSITIES)
@settings(max_examples=50)
def test_effective_density_is_that_of_all_paths(seed, sizes, density):
    network = random_chain(seed, sizes, density)
    ends = np.cumsum([0, *sizes])
    edges = [
        (int(ends[layer] + j), int(ends[layer + 1] + i))
        for layer, junction in enumerate(network)
        for i, j in np.argwhere(junction)
    ]
    paths = all_paths(edges, range(sizes[0]), set(range(ends[-2], ends[-1])))
    on_a_path = {edge for path in paths for edge in path}
    assert effective_density(network) == len(on_a_path) / sum(junction.size for junction in network)


def random_dag(seed, nodes, density):
    """A channel graph of one block for each node, which reads from any nodes before it."""
    rng = np.random.default_rng(seed)
    blocks = []
    for node in range(2, nodes):
        kept = rng.integers(1, 4, (1, node)) * (rng.random((1, node)) < density)
        matrix = sp.csr_array if rng.random() < 0.5 else np.asarray
        blocks.append(
            Block(
                name=str(node),
                sources=np.arange(node),
                targets=np.array([node]),
                weights=matrix(kept.astype(float)),
                kept=matrix(kept),
                size=3 * node,
            )
        )
    groups = (NodeGroup(name="all", start=0, stop=nodes),)
    sinks = np.arange(nodes - 2, nodes)
    return ChannelGraph(groups=groups, sources=np.arange(2), sinks=sinks, blocks=tuple(blocks))


@given(seed=SEEDS, nodes=st.integers(4, 8), density=DENSITIES)
@settings(max_examples=50)
def test_sweeps_over_a_network_with_skips_agree_with_all_its_paths(seed, nodes, density):
    graph = random_dag(seed, nodes, density)
    edges = [(int(j), int(block.targets[0])) for block in graph.blocks for j in sp.coo_array(block.kept).coords[1]]
    paths = all_paths(edges, range(2), set(graph.sinks.tolist()))
    # a sink that is passed on the way ends one path and continues another
    count = 10 ** log10_edge_paths(graph)
    assert count == pytest.approx(len(paths))
    on_a_path = {edge for path in paths for edge in path}
    alive = {node for path in paths for edge in path for node in edge}
    found = reach(graph)
    assert set(np.flatnonzero(found.alive).tolist()) == alive
    kept = {(j, int(block.targets[0])): sp.csr_array(block.kept)[0, j] for block in graph.blocks for j in block.sources}
    assert sum(found.effective_weights(block) for block in graph.blocks) == sum(kept[edge] for edge in on_a_path)
    ends = {(path[-1][1], path[0][0]) for path in paths}
    assert {(int(graph.sinks[i]), int(graph.sources[j])) for i, j in np.argwhere(connections(graph))} == ends
