"""Conductances of networks whose channels were followed; no framework is needed."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import Block, ChannelGraph, GraphOptions, channel_graph, dense_reference
from n2nsurgery.connectivity.graph.skipless_twin import skipless_twin
from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.following import follow
from n2nsurgery.graph.channels.steps import Input, LayerStep, Move, Pointwise, Program

RANDOM = np.random.default_rng(0)


def layer(weight, reads, writes, shape, *, layout="conv", groups=1, out):
    shapes = ((2, out, 4, 4),) if layout != "linear" else ((2, out),)
    return LayerStep(
        operation="layer", reads=(reads,), writes=(writes,), shapes=shapes, weight=weight, weight_shape=shape,
        layout=layout, groups=groups, axis=-1 if layout == "linear" else 1,
    )  # fmt: skip


def single(shape, *, layout="conv", groups=1, out, channels, mask=None, scale=None, weight=None):
    """A network of one layer `a`."""
    image = (2, channels, 4, 4) if layout != "linear" else (2, channels)
    program = Program(
        inputs=(Input(value=0, name="x", shape=image),),
        steps=(layer("a.weight", 0, 1, shape, layout=layout, groups=groups, out=out),),
        outputs=(1,),
    )
    flow, _ = follow(program)
    return ChannelNetwork(
        flow=flow,
        weights={"a.weight": RANDOM.standard_normal(shape).astype(np.float32) if weight is None else weight},
        masks={} if mask is None else {"a.weight": mask},
        scales={} if scale is None else {"a": scale},
    )


def residual(*, kind="n2n"):
    """x -> a -> b -> +a -> c, with a skip from x to b: of its own weight, or without weights."""
    shape = (2, 3, 4, 4)
    add = {"shapes": (shape,), "operation": "add", "how": "sum"}
    skip = (layer("skip.weight", 0, 5, (3, 3), out=3), Pointwise(reads=(3, 5), writes=(6,), **add))
    plain = (Pointwise(reads=(3, 0), writes=(6,), **add),)
    program = Program(
        inputs=(Input(value=0, name="x", shape=shape),),
        steps=(
            layer("a.weight", 0, 1, (3, 3), out=3),
            Pointwise(reads=(1,), writes=(2,), shapes=(shape,), operation="relu"),
            layer("b.weight", 2, 3, (3, 3), out=3),
            *(skip if kind == "n2n" else plain),
            Pointwise(reads=(6, 2), writes=(7,), **add),
            layer("c.weight", 7, 8, (2, 3), out=2),
        ),
        outputs=(8,),
    )
    flow, _ = follow(program)
    flow = dataclasses.replace(flow, skips=(Skip(name="skip", kind=kind, source="x", target="b"),))
    weights = {call.weight: np.full(call.weight_shape, 0.5, np.float32) for call in flow.calls}
    return ChannelNetwork(flow=flow, weights=weights, masks={})


def toarray(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def names(graph: ChannelGraph) -> list[str]:
    return [block.name for block in graph.blocks]


def test_each_rule_condenses_the_kernel_as_it_says():
    mask = np.zeros((2, 3, 2, 2), bool)
    mask[0, 1] = True
    mask[1, 2, 0, 1] = True
    network = single((2, 3, 2, 2), out=2, channels=3, mask=mask)
    kept = np.where(mask, network.weights["a.weight"].astype(np.float64), 0)
    expected = {
        "l1": np.abs(kept).sum((2, 3)),
        "l2": (kept**2).sum((2, 3)),
        "count": mask.sum((2, 3)),
        "binary": mask.any((2, 3)),
    }
    for rule, conductances in expected.items():
        block = channel_graph(network, GraphOptions(conductance=rule)).blocks[0]
        # sums of four numbers in another order
        np.testing.assert_allclose(toarray(block.weights), conductances, rtol=1e-15, atol=0)
        np.testing.assert_array_equal(toarray(block.kept), mask.sum((2, 3)))
    assert (block.edges, block.kept_weights, block.size) == (2, 5, 24)


def test_a_kept_weight_of_value_zero_is_an_edge():
    block = channel_graph(single((2, 3), out=2, channels=3, layout="linear", weight=np.zeros((2, 3)))).blocks[0]
    assert (block.edges, block.weights.sum()) == (6, 0)


@pytest.mark.parametrize(
    ("layout", "shape", "out"),
    [("conv", (6, 2, 3, 3), 6), ("conv_transpose", (4, 3, 3, 3), 6), ("conv", (6, 4, 1, 1), 6)],
)
def test_groups_lie_on_the_diagonal(layout, shape, out):
    groups = 1 if shape[1] == 4 else 2
    mask = RANDOM.random(shape) < 0.4
    network = single(shape, layout=layout, groups=groups, out=out, channels=4, mask=mask)
    expected = np.zeros((6, 4))
    for o in range(6):
        for i in range(4):
            if o // (6 // groups) != i // (4 // groups):
                continue
            place = (i, o % (6 // groups)) if layout == "conv_transpose" else (o, i % (4 // groups))
            expected[o, i] = np.abs(network.weights["a.weight"][place])[mask[place]].sum(dtype=np.float64)
    # sums of at most nine numbers in another order
    np.testing.assert_allclose(toarray(channel_graph(network).blocks[0].weights), expected, rtol=1e-14, atol=0)


def test_a_folded_batchnorm_scales_the_output_channels():
    network = single((2, 3), out=2, channels=3, layout="linear", scale=np.array([2.0, 0.5]))
    plain = np.abs(network.weights["a.weight"].astype(np.float64))
    factors = np.array([[2.0], [0.5]])
    np.testing.assert_array_equal(channel_graph(network).blocks[0].weights, plain * factors)
    squared = channel_graph(network, GraphOptions(conductance="l2")).blocks[0].weights
    # one rounding of the product, one of the square
    np.testing.assert_allclose(squared, (plain * factors) ** 2, rtol=1e-15)
    ignored = channel_graph(network, GraphOptions(batchnorm="ignored")).blocks[0].weights
    np.testing.assert_array_equal(ignored, plain)


def test_a_pruned_layer_is_sparse_and_a_whole_one_a_matrix():
    mask = np.zeros((8, 8), bool)
    mask[np.arange(8), np.arange(8)] = True
    assert sp.issparse(channel_graph(single((8, 8), out=8, channels=8, layout="linear", mask=mask)).blocks[0].weights)
    assert isinstance(channel_graph(single((8, 8), out=8, channels=8, layout="linear")).blocks[0].weights, np.ndarray)


def test_flattened_maps_are_added_up_by_channel():
    shape = (2, 3, 2, 2)
    program = Program(
        inputs=(Input(value=0, name="x", shape=shape),),
        steps=(
            Move(
                operation="flatten", reads=(0,), writes=(1,), shapes=((2, 12),), apply=lambda a: [a[0].reshape(2, 12)]
            ),
            layer("a.weight", 1, 2, (5, 12), layout="linear", out=5),
        ),
        outputs=(2,),
    )
    flow, _ = follow(program)
    weight = RANDOM.standard_normal((5, 12))
    block = channel_graph(ChannelNetwork(flow=flow, weights={"a.weight": weight}, masks={})).blocks[0]
    # sums of four numbers in another order
    np.testing.assert_allclose(block.weights, np.abs(weight).reshape(5, 3, 4).sum(2), rtol=1e-14)
    np.testing.assert_array_equal(block.kept, np.full((5, 3), 4))


def test_the_dense_form_has_every_weight_at_the_mean_of_the_kept_ones():
    mask = np.zeros((2, 3, 2, 2), bool)
    mask[0, 1, 0] = True
    network = single((2, 3, 2, 2), out=2, channels=3, mask=mask, scale=np.array([2.0, 1.0]))
    kept = 2 * np.abs(network.weights["a.weight"][mask]).astype(np.float64)
    expected = np.full((2, 3), 4 * kept.mean())
    expected[0, 1] = kept.sum() + 2 * kept.mean()
    block = dense_reference(network).blocks[0]
    # sums of four numbers in another order
    np.testing.assert_allclose(block.weights, expected, rtol=1e-14)
    np.testing.assert_array_equal(block.kept, np.full((2, 3), 4))
    nothing = single((2, 3, 2, 2), out=2, channels=3, mask=np.zeros_like(mask))
    np.testing.assert_allclose(dense_reference(nothing).blocks[0].weights, np.full((2, 3), 4 / np.sqrt(12)), rtol=1e-15)


def test_a_whole_network_is_its_own_dense_form():
    network = single((2, 3), out=2, channels=3, layout="linear")
    np.testing.assert_array_equal(dense_reference(network).blocks[0].weights, channel_graph(network).blocks[0].weights)


def test_a_skip_with_weights_ends_in_its_targets_nodes_and_is_not_a_part_of_the_dense_form():
    network = residual()
    assert [group.name for group in network.flow.groups] == ["x", "a", "b", "c"]
    graph = channel_graph(network)
    assert names(graph) == ["a", "skip", "b", "b.add", "c"]
    skip = graph.blocks[1]
    assert (skip.sources.tolist(), skip.targets.tolist()) == ([0, 1, 2], [6, 7, 8])
    assert names(dense_reference(network)) == ["a", "b", "b.add", "c"]


def test_a_skip_without_weights_makes_identity_edges_which_the_dense_form_leaves_out():
    network = residual(kind="residual")
    graph = channel_graph(network)
    assert names(graph) == ["a", "b", "b.add", "b.add#2", "c"]
    assert [block.sources.tolist() for block in graph.blocks[2:4]] == [[0, 1, 2], [3, 4, 5]]
    left = dense_reference(network)
    assert [block.sources.tolist() for block in left.blocks if "add" in block.name] == [[3, 4, 5]]


def test_identity_edges_can_be_dropped():
    assert names(channel_graph(residual(), GraphOptions(identity="none"))) == ["a", "skip", "b", "c"]


def test_a_planted_fault_shows():
    graph = channel_graph(residual())
    adjacency = graph.adjacency().toarray()
    without_identity = dataclasses.replace(graph, blocks=tuple(b for b in graph.blocks if b.name != "b.add"))
    weights = graph.blocks[0].weights.copy()
    weights[0, 0] = 0
    dropped = dataclasses.replace(graph.blocks[0], weights=weights)
    faults = [without_identity, dataclasses.replace(graph, blocks=(dropped, *graph.blocks[1:]))]
    assert [int(np.count_nonzero(adjacency != fault.adjacency().toarray())) for fault in faults] == [6, 2]


def test_broken_weights_are_named_and_pruned_ones_do_not_count():
    weight = np.ones((2, 3))
    weight[0, 0], weight[1, 2] = np.nan, np.inf
    with pytest.raises(UsageError, match="layer 'a': 2 weights are NaN or infinite"):
        channel_graph(single((2, 3), out=2, channels=3, layout="linear", weight=weight))
    mask = np.isfinite(weight)
    graph = channel_graph(single((2, 3), out=2, channels=3, layout="linear", weight=weight, mask=mask))
    assert toarray(graph.blocks[0].weights).sum() == 4


def test_a_graph_beyond_the_limit_is_refused_before_it_is_built():
    network = single((2, 3), out=2, channels=3, layout="linear")
    with pytest.raises(UsageError, match=re.escape("5 nodes and up to 6 edges")):
        channel_graph(network, max_nodes=4)
    assert channel_graph(network, max_nodes=5).nodes == 5


def test_weights_of_another_shape_are_refused():
    network = dataclasses.replace(single((2, 3), out=2, channels=3), weights={"a.weight": np.ones((3, 2))})
    with pytest.raises(UsageError, match=r"has shape \(3, 2\), its layer needs \(2, 3\)"):
        channel_graph(network)


def test_conventions_are_printed_as_sentences_and_checked():
    default = GraphOptions()
    assert all(sentence.endswith(".") for sentence in default.sentences)
    assert default.to_json()["conductance"] == "l1"
    with pytest.raises(UnknownNameError, match="binary"):
        GraphOptions(conductance="binry")


def gated(mask):
    """Layers `a` and `b` read the image, their outputs are multiplied channel by channel, `c` reads the product."""
    shape = (2, 3, 4, 4)
    program = Program(
        inputs=(Input(value=0, name="x", shape=shape),),
        steps=(
            layer("a.weight", 0, 1, (3, 3), out=3),
            layer("b.weight", 0, 2, (3, 3), out=3),
            Pointwise(reads=(1, 2), writes=(3,), shapes=(shape,), operation="mul", how="product"),
            layer("c.weight", 3, 4, (2, 3), out=2),
        ),
        outputs=(4,),
    )
    flow, _ = follow(program)
    weights = {call.weight: np.full(call.weight_shape, 0.5, np.float32) for call in flow.calls}
    return ChannelNetwork(flow=flow, weights=weights, masks={"c.weight": np.array(mask, dtype=bool)})


def test_a_weight_that_reads_two_channels_at_once_counts_once():
    network = gated([[True, True, False], [True, False, False]])
    *_, block = channel_graph(network).layers
    assert (block.edges, block.kept_weights, block.size) == (6, 3, 6)  # each weight is behind two edges
    assert dense_reference(network).layers[-1].kept_weights == 6
    everything, nothing = np.ones(6, dtype=bool), np.zeros(6, dtype=bool)
    half = np.isin(block.sources, [3, 4, 5])  # those of `a` alone
    targets = np.array([True, False])
    assert [block.weights_between(some, targets) for some in (everything, half, nothing)] == [2, 2, 0]


def test_the_twin_of_gated_channels_keeps_as_many_weights():
    network = gated([[True, True, False], [True, False, False]])
    graph, dense = channel_graph(network), dense_reference(network)
    block, held = graph.blocks[-1], np.array([[1, 1, 0], [0, 0, 0]])
    skip = Block(
        name="skip", sources=block.sources[:3], targets=block.targets, weights=held * 1.0, kept=held, size=held.size
    )
    fuller = skipless_twin(dataclasses.replace(graph, blocks=(*graph.blocks, skip)), dense, {"skip"}).blocks[-1]
    assert (fuller.kept_weights, fuller.kept.sum()) == (5, 10)
    assert np.array_equal(toarray(fuller.kept), toarray(fuller.features.kept @ fuller.features.nodes))
