from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import Block, ChannelGraph
from n2nsurgery.connectivity.graph.skipless_twin import skipless_twin
from n2nsurgery.connectivity.paths.reach import chain

SIZES = (4, 30, 30, 5)
DENSE = chain([np.ones((after, before), dtype=bool) for before, after in itertools.pairwise(SIZES)])


def grafted(density, held, *, sparse=False):
    """A chain of three layers with a skip from the first to the second one that holds `held` weights of size 1."""
    rng = np.random.default_rng(0)
    graph = chain([rng.random((after, before)) < density for before, after in itertools.pairwise(SIZES)])
    ends = [np.arange(group.start, group.stop) for group in graph.groups[1:3]]
    matrix = np.zeros((30, 30), dtype=int)
    matrix.ravel()[:held] = 1
    form = sp.csr_array if sparse else np.asarray
    skip = Block(name="skip", sources=ends[0], targets=ends[1], weights=form(matrix * 1.0), kept=form(matrix), size=900)
    layers = [
        Block(
            name=b.name,
            sources=b.sources,
            targets=b.targets,
            weights=form(b.weights * 0.5),
            kept=form(b.kept),
            size=b.size,
        )
        for b in graph.blocks
    ]
    blocks = (*layers[:2], skip, layers[2])
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def kept(graph):
    return [block.kept_weights for block in graph.blocks]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("held", [0, 1, 30, 200])
def test_the_twin_keeps_as_many_weights_without_the_skip(held, sparse):
    graph = grafted(0.2, held, sparse=sparse)
    twin = skipless_twin(graph, DENSE, {"skip"})
    assert [block.name for block in twin.blocks] == [b.name for b in graph.blocks if b.name != "skip"]
    assert sum(kept(twin)) == sum(kept(graph))
    assert {sp.issparse(block.kept) for block in twin.blocks} == {sparse}


def test_what_was_kept_stays_and_what_is_added_counts_as_much_as_the_mean():
    graph = grafted(0.2, 200)
    twin = skipless_twin(graph, DENSE, {"skip"})
    for before, after in zip((*graph.blocks[:2], graph.blocks[3]), twin.blocks, strict=True):
        assert (after.kept >= before.kept).all()
        assert after.kept.max() == 1  # a pair of channels holds one weight at most here
        assert np.array_equal(after.weights, 0.5 * after.kept)


def test_the_weights_are_shared_in_proportion_to_what_a_layer_keeps():
    graph = grafted(0.2, 200)
    before, after = [kept(graph)[i] for i in (0, 1, 3)], kept(skipless_twin(graph, DENSE, {"skip"}))
    for old, new in zip(before, after, strict=True):
        assert new - old == pytest.approx(200 * old / sum(before), abs=3)  # three shares are rounded


def test_a_full_layer_gets_nothing_and_layers_without_room_leave_the_twin_smaller():
    graph = grafted(1.0, 30)
    assert kept(skipless_twin(graph, DENSE, {"skip"})) == [120, 900, 150]


def test_the_same_network_has_the_same_twin():
    one, other = (skipless_twin(grafted(0.1, 50), DENSE, {"skip"}) for _ in range(2))
    assert all(np.array_equal(a.kept, b.kept) for a, b in zip(one.blocks, other.blocks, strict=True))
