"""PlainDepthwiseConv against torch in float64, for every instruction set of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_DEPTHWISE, VERSION

CASES = 120


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A depthwise convolution over height and width; `pads` is (top, left, bottom, right)."""

    kernel_shape: list[int]
    strides: list[int]
    pads: list[int]
    dilations: list[int]


def model(weight: NDArray, bias: NDArray, geometry: Geometry, *, activation: str = "", constant: bool = True) -> bytes:
    """A model of one node; without `constant` its weight is an input, too."""
    attributes = {**vars(geometry), "group": len(weight)}
    if activation == "Clip":
        attributes |= {"low": -0.5, "high": 2.0}
    node = helper.make_node(PLAIN_DEPTHWISE + activation, ["x", "w", "b"], ["y"], domain=DOMAIN, **attributes)
    names = ["x", *([] if constant else ["w"])]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}{i}" for i in range(4)]) for name in names
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    tensors = [numpy_helper.from_array(bias, "b"), *([numpy_helper.from_array(weight, "w")] if constant else [])]
    graph = helper.make_graph([node], "depthwise", inputs, [output], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def expected(x: NDArray, weight: NDArray, bias: NDArray, geometry: Geometry) -> NDArray:
    """What torch computes in float64."""
    top, left, bottom, right = geometry.pads
    padded = functional.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
    tensors = (torch.from_numpy(array).double() for array in (weight, bias))
    result: NDArray = functional.conv2d(
        padded, *tensors, stride=geometry.strides, dilation=geometry.dilations, groups=len(weight)
    ).numpy()
    return result


def random_weight(rng: np.random.Generator, channels: int, kernel: list[int], density: float) -> NDArray:
    shape = (channels, 1, *kernel)
    return np.where(rng.random(shape) < density, rng.standard_normal(shape), 0).astype(np.float32)


def assert_close(actual: NDArray, wanted: NDArray, what: object) -> None:
    # float32 sums of up to 49 products of standard normals
    assert actual.shape == wanted.shape, what
    np.testing.assert_allclose(
        actual, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max(initial=0)), err_msg=str(what)
    )


@pytest.mark.usefixtures("isa")
def test_random_geometries_agree_with_torch(make_session):
    rng = np.random.default_rng(61)
    for _ in range(CASES):
        kernel = [int(k) for k in rng.choice([1, 2, 3, 3, 5, 7], 2)]
        dilations = [int(d) for d in rng.choice([1, 1, 1, 2, 3], 2)]
        geometry = Geometry(
            kernel_shape=kernel, strides=[int(s) for s in rng.choice([1, 1, 2, 2, 3], 2)],
            pads=[int(p) for p in rng.integers(0, 4, 4)], dilations=dilations,
        )  # fmt: skip
        sizes = [int(rng.integers(1, 60)) + (k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        if rng.random() < 0.1:
            sizes[1] += int(rng.integers(400, 1500))  # rows that are cut
        channels = int(rng.integers(1, 40))
        weight = random_weight(rng, channels, kernel, float(rng.choice([0, 0.05, 0.5, 1])))
        bias = rng.standard_normal(channels).astype(np.float32)
        x = rng.standard_normal((int(rng.integers(0, 4)), channels, *sizes)).astype(np.float32)
        session = make_session(model(weight, bias, geometry))
        assert_close(session.run(None, {"x": x})[0], expected(x, weight, bias, geometry), (geometry, x.shape))


FREQUENT = [
    (112, Geometry(kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, dilations=[1, 1])),
    (112, Geometry(kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, dilations=[1, 1])),
    (14, Geometry(kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4, dilations=[1, 1])),
    (7, Geometry(kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, dilations=[1, 1])),
    (56, Geometry(kernel_shape=[7, 7], strides=[1, 1], pads=[3] * 4, dilations=[1, 1])),
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("size", "geometry"), FREQUENT, ids=str)
def test_layers_of_real_networks_do_not_depend_on_the_number_of_threads(make_session, size, geometry):
    rng = np.random.default_rng(67)
    weight = random_weight(rng, 50, geometry.kernel_shape, 1)
    bias = rng.standard_normal(50).astype(np.float32)
    x = rng.standard_normal((2, 50, size, size)).astype(np.float32)
    alone = make_session(model(weight, bias, geometry)).run(None, {"x": x})[0]
    assert_close(alone, expected(x, weight, bias, geometry), geometry)
    session = make_session(model(weight, bias, geometry), 4)
    for _ in range(4):  # the first runs learn the number of threads
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], alone)


@pytest.mark.parametrize("activation", ["Relu", "Clip", "Silu"])
def test_the_activation_follows_the_sum(make_session, activation):
    size, geometry = FREQUENT[2]
    rng = np.random.default_rng(71)
    weight = random_weight(rng, 20, geometry.kernel_shape, 1)
    bias = rng.standard_normal(20).astype(np.float32)
    x = rng.standard_normal((1, 20, size, size)).astype(np.float32)
    values = expected(x, weight, bias, geometry)
    curves = {"Relu": np.maximum(values, 0), "Clip": values.clip(-0.5, 2), "Silu": values / (1 + np.exp(-values))}
    session = make_session(model(weight, bias, geometry, activation=activation))
    assert_close(session.run(None, {"x": x})[0], curves[activation], activation)


def test_weights_may_be_computed_while_the_model_runs(make_session):
    size, geometry = FREQUENT[3]
    rng = np.random.default_rng(73)
    bias = rng.standard_normal(9).astype(np.float32)
    x = rng.standard_normal((2, 9, size, size)).astype(np.float32)
    session = make_session(model(np.zeros((9, 1, 3, 3), np.float32), bias, geometry, constant=False))
    for _ in range(2):
        weight = random_weight(rng, 9, [3, 3], 0.5)
        assert_close(session.run(None, {"x": x, "w": weight})[0], expected(x, weight, bias, geometry), "computed")
    with pytest.raises(Exception, match="W must be a float tensor"):
        session.run(None, {"x": x, "w": np.zeros((9, 1, 5, 5), np.float32)})


@pytest.mark.usefixtures("isa")
def test_a_weight_of_zero_never_multiplies(make_session):
    size, geometry = FREQUENT[3]
    weight = np.zeros((3, 1, 3, 3), np.float32)
    weight[:, 0, 1, 1] = 1
    x = np.zeros((1, 3, size, size), np.float32)
    x[0, 1, 2, 3] = np.inf
    y = make_session(model(weight, np.zeros(3, np.float32), geometry)).run(None, {"x": x})[0]
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_shape": [3]}, "kernel_shape must have 2"),
        ({"kernel_shape": [100, 100]}, "more than 4096 positions"),
        ({"kernel_shape": [5, 3]}, "W must be a float tensor"),
        ({"strides": [0, 1]}, "strides"),
        ({"pads": [0, -1, 0, 0]}, "pads"),
        ({"dilations": [1]}, "dilations"),
    ],
)
def test_a_malformed_node_is_refused_when_the_session_is_made(make_session, changed, message):
    geometry = Geometry(**{**vars(FREQUENT[0][1]), **changed})
    with pytest.raises(Exception, match=f"PlainDepthwiseConv.*{message}"):
        make_session(model(np.ones((8, 1, 3, 3), np.float32), np.zeros(8, np.float32), geometry))


@pytest.mark.parametrize(("shape", "message"), [((1, 7, 4, 4), "8 channels"), ((1, 8, 0, 4), "empty spatial axis")])
def test_an_input_that_does_not_fit_is_refused_when_it_runs(make_session, shape, message):
    session = make_session(model(np.ones((8, 1, 3, 3), np.float32), np.zeros(8, np.float32), FREQUENT[0][1]))
    with pytest.raises(Exception, match=f"PlainDepthwiseConv.*{message}"):
        session.run(None, {"x": np.zeros(shape, np.float32)})


def test_a_bias_of_another_length_is_refused(make_session):
    session = make_session(model(np.ones((8, 1, 3, 3), np.float32), np.zeros(7, np.float32), FREQUENT[0][1]))
    with pytest.raises(Exception, match=r"PlainDepthwiseConv.*bias must have 8 elements"):
        session.run(None, {"x": np.zeros((1, 8, 9, 9), np.float32)})
