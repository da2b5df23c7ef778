"""Exact compaction: what goes, what stays, and that nobody can tell the difference."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from n2nsurgery.export.compaction.channel_folding import Compaction, compact, kept_from_json

SIDE = 9


def model(nodes: list[tuple], tensors: dict[str, np.ndarray], target: tuple) -> onnx.ModelProto:
    """Nodes as (operator, inputs, output, attributes), from `x` of 4 channels to `y`."""
    made = [helper.make_node(op, inputs.split(), [output], **attributes) for op, inputs, output, attributes in nodes]
    graph = helper.make_graph(
        made, "g",
        [helper.make_tensor_value_info("x", 1, ["batch", 4, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", 1, ["batch", *target])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def run(proto: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((2, 4, SIDE, SIDE)).astype(np.float32)
    opened = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return opened.run(None, {"x": x})[0]


def compacted(proto: onnx.ModelProto) -> tuple[Compaction, dict[str, tuple[int, ...]]]:
    """What went, and the shapes of what is left, after the output was found unchanged."""
    graph = ir.from_proto(proto)
    result = compact(graph.graph)
    smaller = ir.to_proto(graph)
    onnx.checker.check_model(smaller, full_check=True)
    before, after = run(proto), run(smaller)
    # Sums in another order: a few float32 roundings of the largest output.
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * max(1, np.abs(before).max()))
    return result, {t.name: tuple(t.dims) for t in smaller.graph.initializer}


def ones(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)


def without(array: np.ndarray, *index: object) -> np.ndarray:
    """`array` with zeros at `index`."""
    array = array.copy()
    array[index] = 0
    return array


CONV = ("Conv", "x a ab", "c", {})


def test_a_channel_without_input_becomes_part_of_the_next_bias():
    tensors = {"a": without(ones(3, 4, 1, 1), 1), "ab": ones(3), "b": ones(2, 3, 3, 3), "bb": ones(2)}
    nodes = [CONV, ("Relu", "c", "d", {}), ("Conv", "d b bb", "y", {})]
    result, shapes = compacted(model(nodes, tensors, (2, SIDE - 2, SIDE - 2)))
    assert shapes["a"] == (2, 4, 1, 1)
    assert shapes["b"] == (2, 2, 3, 3)
    assert result.removed == {"a": 1, "b": 0}
    assert [list(index) for index in result.kept["b"][:2]] == [[0, 1], [0, 2]]


def test_behind_padding_only_a_zero_goes():
    nodes = [CONV, ("Relu", "c", "d", {}), ("Conv", "d b", "y", {"pads": [1] * 4})]
    for bias, rows in ((0.5, 3), (-0.5, 2), (0, 2)):
        tensors = {"a": without(ones(3, 4, 1, 1), 1), "ab": ones(3), "b": ones(2, 3, 3, 3)}
        tensors["ab"][1] = bias  # ReLU turns the negative one into zero
        _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
        assert shapes["a"] == (rows, 4, 1, 1)


def test_a_channel_that_nothing_reads_goes_and_so_do_its_sources():
    tensors = {
        "a": without(ones(3, 4, 1, 1), slice(1, 3), 2), "ab": ones(3),
        "b": without(ones(3, 3, 1, 1), slice(0, 2), 2), "c": without(ones(2, 3, 1, 1), slice(None), 2),
    }  # fmt: skip
    nodes = [CONV, ("Tanh", "c", "d", {}), ("Conv", "d b", "e", {}), ("Tanh", "e", "f", {}), ("Conv", "f c", "y", {})]
    nodes[0] = ("Conv", "x a ab", "k", {})
    nodes[1] = ("Tanh", "k", "d", {})
    _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert (shapes["a"], shapes["b"], shapes["c"]) == ((2, 4, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1))


def test_a_channel_of_a_sum_goes_only_where_both_terms_can():
    nodes = [
        CONV, ("Conv", "x b", "d", {}), ("Add", "c d", "s", {}), ("Relu", "s", "r", {}), ("Conv", "r e", "y", {}),
    ]  # fmt: skip
    tensors = {"a": without(ones(3, 4, 1, 1), 1), "ab": ones(3), "b": ones(3, 4, 1, 1), "e": ones(2, 3, 1, 1)}
    result, _ = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert result.removed == {}
    tensors["b"][1] = 0
    _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert (shapes["a"][0], shapes["b"][0], shapes["e"][1]) == (2, 2, 2)


def test_concatenation_depthwise_pooling_and_flattening_pass_channels_on():
    tensors = {
        "a": without(ones(3, 4, 1, 1), 0), "ab": ones(3), "w": ones(6, 1, 3, 3), "wb": ones(6),
        "f": ones(5, 6 * 4), "fb": ones(5), "shape": np.array([-1, 24], np.int64),
    }  # fmt: skip
    nodes = [
        CONV, ("Sigmoid", "c", "s", {}), ("Concat", "c s", "t", {"axis": 1}),
        ("Conv", "t w wb", "u", {"group": 6}), ("MaxPool", "u", "v", {"kernel_shape": [4, 4], "strides": [3, 3]}),
        ("Reshape", "v shape", "g", {}), ("Gemm", "g f fb", "y", {"transB": 1}),
    ]  # fmt: skip
    result, shapes = compacted(model(nodes, tensors, (5,)))
    assert (shapes["a"], shapes["w"], shapes["f"]) == ((2, 4, 1, 1), (4, 1, 3, 3), (5, 16))
    assert result.refused == {}


def test_a_normalization_that_was_not_folded_shrinks():
    tensors = {
        "a": without(ones(3, 4, 1, 1), 2), "ab": ones(3), "s": ones(3), "m": ones(3), "e": ones(2, 3, 1, 1),
    }  # fmt: skip
    nodes = [
        CONV, ("Relu", "c", "d", {}), ("BatchNormalization", "d s m m s", "n", {}), ("Conv", "n e", "y", {}),
    ]  # fmt: skip
    _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert (shapes["a"][0], shapes["e"][1]) == (2, 2)


def test_operators_without_a_rule_keep_their_channels_and_are_named():
    tensors = {"a": without(ones(3, 4, 1, 1), 2), "ab": ones(3), "e": ones(2, 3, 1, 1)}
    nodes = [CONV, ("Softmax", "c", "d", {"axis": 1}), ("Conv", "d e", "y", {})]
    result, _ = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert result.removed == {}
    assert "Softmax" in next(iter(result.refused.values()))


def test_grouped_convolutions_and_outputs_keep_their_channels():
    tensors = {"a": without(ones(4, 4, 1, 1), 2), "ab": ones(4), "e": without(ones(4, 2, 1, 1), 1)}
    nodes = [CONV, ("Conv", "c e", "y", {"group": 2})]
    assert compacted(model(nodes, tensors, (4, SIDE, SIDE)))[0].removed == {}


def test_one_channel_is_always_left():
    tensors = {"a": ones(3, 4, 1, 1) * 0, "ab": ones(3), "e": ones(2, 3, 1, 1)}
    nodes = [CONV, ("Conv", "c e", "y", {})]
    _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert shapes["a"] == (1, 4, 1, 1)


def test_a_shared_bias_is_not_changed_for_the_others():
    tensors = {"a": without(ones(3, 4, 1, 1), 1), "ab": ones(3), "b": ones(3, 3, 1, 1), "e": ones(2, 3, 1, 1)}
    nodes = [CONV, ("Conv", "c b ab", "d", {}), ("Conv", "d e", "y", {})]
    _, shapes = compacted(model(nodes, tensors, (2, SIDE, SIDE)))
    assert shapes["b"] == (3, 2, 1, 1)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), density=st.sampled_from([0.05, 0.2, 0.5]))
def test_a_random_network_computes_the_same(seed, density):
    generator = np.random.default_rng(seed)

    def pruned(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) * (generator.random(shape) < density)).astype(np.float32)

    tensors = {
        "a": pruned(6, 4, 3, 3), "ab": pruned(6), "b": pruned(6, 6, 3, 3), "bb": ones(6), "w": pruned(12, 1, 3, 3),
        "e": pruned(5, 12, 1, 1), "f": pruned(7, 5), "fb": ones(7), "h": pruned(3, 7),
        "low": np.float32(0).reshape(()), "high": np.float32(6).reshape(()), "axes": np.array([2, 3], np.int64),
    }  # fmt: skip
    nodes = [
        CONV, ("Relu", "c", "d", {}), ("Conv", "d b bb", "k", {"pads": [1] * 4}), ("Add", "d k", "l", {}),
        ("Clip", "l low high", "m", {}), ("Conv", "m w", "n", {"group": 6}), ("Conv", "n e", "o", {}),
        ("ReduceMean", "o axes", "p", {"keepdims": 0}), ("Gemm", "p f fb", "q", {"transB": 1}),
        ("Relu", "q", "r", {}), ("Gemm", "r h", "y", {"transB": 1}),
    ]  # fmt: skip
    compacted(model(nodes, tensors, (3,)))


def test_what_is_kept_is_read_back_from_the_metadata():
    kept = {"a": (np.array([0, 2, 8]), np.array([1]), np.arange(3), np.arange(3))}
    text = Compaction(kept=kept).to_json()["kept"]
    back = kept_from_json(text, {"a": (9, 4, 3, 3)})
    assert [index.tolist() for index in back["a"]] == [index.tolist() for index in kept["a"]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_a_number_is_not_folded(value):
    tensors = {"a": without(ones(3, 4, 1, 1), 1), "ab": ones(3), "b": ones(2, 3, 1, 1)}
    tensors["ab"][1] = value
    graph = ir.from_proto(model([CONV, ("Conv", "c b", "y", {})], tensors, (2, SIDE, SIDE)))
    assert compact(graph.graph).removed == {}
