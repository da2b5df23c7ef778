"""Normalizations and gates beside sparse nodes: where they are replaced, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from portable_form import answer, portable_form

from n2nsurgery import runtime

CHANNELS = 48
SOURCE = (CHANNELS, 9, 13)
RNG = np.random.default_rng(0)
STATISTICS = {name: RNG.random(CHANNELS).astype(np.float32) + 0.5 for name in ("scale", "B", "mean", "var")}


def weight(density: float, *shape: int) -> np.ndarray:
    shape = shape or (CHANNELS, CHANNELS, 1, 1)
    return (RNG.standard_normal(shape) * (RNG.random(shape) < density)).astype(np.float32)


def forms(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray]) -> list[str]:
    """Operators of the portable form, which gives the dense one's bits, with the runtime but for rounding."""
    dense, portable = portable_form(nodes, tensors, SOURCE)
    with_runtime = onnxruntime.SessionOptions()
    runtime.register(with_runtime)
    expected = answer(dense, SOURCE)
    assert np.array_equal(expected, answer(portable, SOURCE))
    ours = answer(portable, SOURCE, with_runtime)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max())  # sums of about ten products
    return [node.op_type for node in portable.graph.node]


def preactivation(before: float, after: float, *, curve: str = "Relu") -> list[str]:
    """Convolution, sum with the input, normalization, activation, convolution; of these densities."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Concat", ["c", "x"], ["joined"], axis=1),
        helper.make_node("Slice", ["joined", "first", "last", "axis"], ["s"]),
        helper.make_node("BatchNormalization", ["s", *STATISTICS], ["n"], epsilon=1e-3),
        helper.make_node(curve, ["n"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["y"]),
    ]
    bounds = {"first": [8], "last": [8 + CHANNELS], "axis": [1]}
    tensors = STATISTICS | {"a": weight(before), "b": weight(after)}
    return forms(nodes, tensors | {name: np.array(value) for name, value in bounds.items()})


def test_a_normalization_before_a_sparse_node_lies_as_it_does_with_its_activation():
    assert preactivation(1.0, 0.05)[3:] == ["PlainBatchNormalizationRelu", "SparseConv"]
    assert preactivation(0.05, 0.05, curve="HardSwish")[3:] == ["PlainBatchNormalizationHardSwish", "SparseConv"]


def test_without_sparse_sides_a_normalization_stays():
    assert preactivation(1.0, 1.0)[3:] == ["BatchNormalization", "Relu", "Conv"]


def normalized(first: float, second: float) -> list[str]:
    """The sum of two convolutions of these densities, normalized, and a sparse convolution."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Conv", ["x", "b"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["j"], axis=1),
        helper.make_node("BatchNormalization", ["j", *STATISTICS], ["n"]),
        helper.make_node("Conv", ["n", "e"], ["y"]),
    ]
    doubled = {name: np.concatenate([array, array]) for name, array in STATISTICS.items()}
    tensors = {"a": weight(first), "b": weight(second), "e": weight(0.05, CHANNELS, 2 * CHANNELS, 1, 1)}
    return forms(nodes, doubled | tensors)


def test_what_lies_in_blocks_in_every_part_stays_there():
    assert "BatchNormalization" in normalized(1.0, 1.0)
    assert "PlainBatchNormalization" in normalized(1.0, 0.05)


def joined(*, axis: int = 1, parts: int = 3, read_again: bool = False) -> list[str]:
    """A sparse convolution joined with its input some times, normalized, a ReLU and a sparse convolution."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Concat", ["c", *["x"] * (parts - 1)], ["j"], axis=axis),
        helper.make_node("BatchNormalization", ["j", *STATISTICS], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["d" if read_again else "y"]),
    ]
    if read_again:
        nodes += [helper.make_node("Conv", ["j", "b"], ["e"]), helper.make_node("Sub", ["d", "e"], ["y"])]
    channels = parts * CHANNELS if axis in {1, -3} else CHANNELS
    repeated = {name: np.tile(array, channels // CHANNELS) for name, array in STATISTICS.items()}
    return forms(nodes, repeated | {"a": weight(0.05), "b": weight(0.05, CHANNELS, channels, 1, 1)})


def test_a_normalization_with_a_relu_reads_what_a_concat_before_it_would_join():
    expected = ["SparseConv", "PlainJoined3BatchNormalizationRelu", "SparseConv"]
    assert joined() == joined(axis=-3) == expected
    assert "PlainJoined2BatchNormalizationRelu" in joined(parts=2)


def test_other_joins_are_written():
    for kinds in (joined(axis=2), joined(read_again=True), joined(parts=33)):
        assert "Concat" in kinds
        assert "PlainBatchNormalizationRelu" in kinds


def gated(before: float, after: float, *, swapped: bool = False, whole: bool = False) -> list[str]:
    """Convolution, squeeze-and-excitation without its layers, convolution."""
    product = ["g", "c"] if swapped else ["c", "g"]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Identity" if whole else "GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Sigmoid", ["p"], ["g"]),
        helper.make_node("Mul", product, ["m"]),
        helper.make_node("Conv", ["m", "b"], ["y"]),
    ]
    return forms(nodes, {"a": weight(before), "b": weight(after)})


def test_a_gate_of_each_channel_beside_a_sparse_node_is_ours():
    assert gated(0.05, 1.0)[-2:] == ["PlainGate", "Conv"]
    assert gated(0.05, 0.05, swapped=True)[-2:] == ["PlainGate", "SparseConv"]


def test_other_products_stay():
    assert "PlainGate" not in gated(1.0, 1.0)
    assert "PlainGate" not in gated(0.05, 0.05, whole=True)
