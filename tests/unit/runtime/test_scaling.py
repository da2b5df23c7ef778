"""PlainBatchNormalization and PlainGate against float64, for every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_GATE, PLAIN_NORMALIZATION, VERSION

PARAMETERS = ("scale", "B", "mean", "var")
EPSILON = 1e-3
SHAPES = [(2, 5, 7, 7), (1, 3, 1, 113), (3, 8, 1, 1), (2, 4, 90), (1, 2, 3, 5, 6), (0, 4, 3, 3), (1, 9, 56, 56)]


def model(op: str, constants: dict[str, NDArray], inputs: dict[str, int], attributes: dict[str, float]) -> bytes:
    """|x|, one node, its negative: the node's result may take its input's place."""
    names = [*inputs, *constants]
    nodes = [
        helper.make_node("Abs", ["x"], ["positive"]),
        helper.make_node(op, ["positive", *names[1:]], ["z"], domain=DOMAIN, **attributes),
        helper.make_node("Neg", ["z"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}{i}" for i in range(rank)])
        for name, rank in inputs.items()
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * inputs["x"])
    graph = helper.make_graph(nodes, "scaling", values, [output], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def parts_model(op: str, constants: dict[str, NDArray], names: list[str]) -> bytes:
    """One node that normalizes the four-dimensional inputs of these names."""
    node = helper.make_node(op, [*names, *constants], ["y"], domain=DOMAIN, epsilon=EPSILON)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in names]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph([node], "parts", inputs, [output], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def statistics(rng: np.random.Generator, channels: int) -> dict[str, NDArray]:
    drawn = {name: rng.standard_normal(channels).astype(np.float32) for name in PARAMETERS}
    return drawn | {"var": np.square(drawn["var"])}


def normalized(x: NDArray, given: dict[str, NDArray]) -> NDArray:
    """The definition of ONNX, in float64."""
    scale, shift, mean, var = (
        given[name].astype(np.float64).reshape(1, -1, *[1] * (x.ndim - 2)) for name in PARAMETERS
    )
    return (np.abs(x) - mean) / np.sqrt(var + np.float32(EPSILON)) * scale + shift


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("activation", "shapes"), [("", SHAPES), ("Relu", SHAPES[:2]), ("Silu", SHAPES[:2])])
def test_channels_are_normalized_as_the_standard_says(make_session, activation, shapes):
    rng = np.random.default_rng(5)
    for shape in shapes:
        given = statistics(rng, shape[1])
        x = rng.standard_normal(shape).astype(np.float32)
        curves = {"": lambda z: z, "Relu": lambda z: np.maximum(z, 0), "Silu": lambda z: z / (1 + np.exp(-z))}
        wanted = -curves[activation](normalized(x, given))
        session = make_session(model(PLAIN_NORMALIZATION + activation, given, {"x": x.ndim}, {"epsilon": EPSILON}))
        actual = session.run(None, {"x": x})[0]
        assert actual.shape == shape
        # x, mean and B are rounded to float32 before and after a factor of at most 3 / sqrt(EPSILON)
        np.testing.assert_allclose(actual, wanted, rtol=2e-6, atol=1e-4 if activation == "" else 2e-4)


def test_statistics_may_be_computed_while_the_model_runs_and_have_to_fit(make_session):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2, 6, 5, 5)).astype(np.float32)
    inputs = {"x": 4} | dict.fromkeys(PARAMETERS, 1)
    session = make_session(model(PLAIN_NORMALIZATION, {}, inputs, {"epsilon": EPSILON}))
    for _ in range(2):
        given = statistics(rng, 6)
        np.testing.assert_allclose(session.run(None, {"x": x} | given)[0], -normalized(x, given), rtol=2e-6, atol=1e-4)
    with pytest.raises(Exception, match=r"PlainBatchNormalization.*var must be a float tensor with one element"):
        session.run(None, {"x": x} | given | {"var": np.ones(5, np.float32)})
    with pytest.raises(Exception, match=r"PlainBatchNormalization.*X has 6 channels, scale has 5"):
        session.run(None, {"x": x} | statistics(rng, 5))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("parts", [(3, 5), (1, 7, 4), (2,) * 32])
def test_parts_are_normalized_as_their_concatenation_is(make_session, parts):
    rng = np.random.default_rng(8)
    given = statistics(rng, sum(parts))
    for pixels in ((9, 13), (80, 81)):
        feed = {f"x{i}": rng.standard_normal((2, count, *pixels)).astype(np.float32) for i, count in enumerate(parts)}
        whole = np.concatenate(list(feed.values()), axis=1)
        expected = make_session(parts_model(f"{PLAIN_NORMALIZATION}Relu", given, ["x"])).run(None, {"x": whole})[0]
        name = f"PlainJoined{len(parts)}BatchNormalizationRelu"
        for threads in (1, 3):
            actual = make_session(parts_model(name, given, list(feed)), threads).run(None, feed)[0]
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("parts", [1, 3])
def test_another_number_of_parts_than_the_name_says_is_refused(make_session, parts):
    given = statistics(np.random.default_rng(9), 4)
    with pytest.raises(Exception, match=r"PlainJoined2.*needs 2 times X, and scale, B, mean and var"):
        make_session(parts_model("PlainJoined2BatchNormalizationRelu", given, [f"x{i}" for i in range(parts)]))


def test_parts_of_other_extents_are_refused(make_session):
    session = make_session(
        parts_model("PlainJoined2BatchNormalizationRelu", statistics(np.random.default_rng(9), 4), ["a", "b"])
    )
    for shape in ((1, 2, 5, 4), (2, 2, 5, 5)):
        with pytest.raises(Exception, match=r"PlainJoined2.*differ in more than their channels"):
            session.run(None, {"a": np.zeros((1, 2, 5, 5), np.float32), "b": np.zeros(shape, np.float32)})
    with pytest.raises(Exception, match=r"PlainJoined2.*X has 5 channels, scale has 4"):
        session.run(None, {"a": np.zeros((1, 2, 5, 5), np.float32), "b": np.zeros((1, 3, 5, 5), np.float32)})


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_gate_gives_the_bits_of_the_product(make_session, shape):
    rng = np.random.default_rng(7)
    x = rng.standard_normal(shape).astype(np.float32)
    gate = rng.standard_normal((*shape[:2], *[1] * (len(shape) - 2))).astype(np.float32)
    gate[..., :1, :] *= np.float32(rng.choice([0, -1]))
    for threads in (1, 3):
        session = make_session(model(PLAIN_GATE, {}, {"x": x.ndim, "gate": x.ndim}, {}), threads)
        actual = session.run(None, {"x": x, "gate": gate})[0]
        np.testing.assert_array_equal(actual.view(np.int32), (-(np.abs(x) * gate)).view(np.int32))


def test_a_gate_of_another_shape_is_refused(make_session):
    session = make_session(model(PLAIN_GATE, {}, {"x": 4, "gate": 4}, {}))
    for shape in ((2, 3, 1, 1), (1, 3, 4, 1), (1, 1, 1, 1)):
        with pytest.raises(Exception, match=r"PlainGate.*gate must have X's images and channels"):
            session.run(None, {"x": np.zeros((1, 3, 4, 4), np.float32), "gate": np.zeros(shape, np.float32)})
