"""SparseConvTranspose against torch in float64, over every geometry, for every instruction set of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sparse_node import Node, coded
from torch.nn import functional

from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.fusion.activations import ActivationName

CASES_PER_RANK = 60
CODES: tuple[Code, ...] = ("gaps8", "gaps16", "bits")


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A transposed convolution; lists have one number for each spatial axis."""

    strides: list[int]
    pads: list[int]
    output_padding: list[int]
    dilations: list[int]
    group: int = 1

    @property
    def attributes(self) -> dict[str, object]:
        return {**vars(self), "pads": self.pads * 2}


def node(weight: NDArray, bias: NDArray, geometry: Geometry, *, variant: str = "", code: Code = "gaps8") -> Node:
    return Node(
        op="SparseConvTranspose" + variant + ("Bits" if code == "bits" else ""),
        attributes={"weight_shape": list(weight.shape)} | geometry.attributes,
        constants={**coded(weight, code), "bias": bias},
        input_rank=weight.ndim,
    )


def expected(x: NDArray, weight: NDArray, bias: NDArray, geometry: Geometry) -> NDArray:
    """What torch computes in float64."""
    transposed = getattr(functional, f"conv_transpose{x.ndim - 2}d")
    tensors = (torch.from_numpy(array).double() for array in (x, weight, bias))
    result: NDArray = transposed(
        *tensors, stride=geometry.strides, padding=geometry.pads, output_padding=geometry.output_padding,
        groups=geometry.group, dilation=geometry.dilations,
    ).numpy()  # fmt: skip
    return result


def random_geometry(rng: np.random.Generator, kernel: list[int]) -> Geometry:
    """Any strides up to 3, among them those of the kernel; pads that may be larger than the kernel reaches."""
    rank = len(kernel)
    strides = kernel if rng.random() < 0.3 else [int(s) for s in rng.integers(1, 4, rank)]
    dilations = [int(d) for d in rng.choice([1, 1, 1, 2, 3], rank)]
    pads = [0] * rank if rng.random() < 0.4 else [int(p) for p in rng.integers(0, 4, rank)]
    more = [int(rng.integers(0, max(both))) for both in zip(strides, dilations, strict=True)]
    return Geometry(
        strides=strides, pads=pads, output_padding=more, dilations=dilations, group=int(rng.choice([1, 1, 2, 3]))
    )


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> NDArray:
    return np.where(rng.random(shape) < density, rng.standard_normal(shape), 0).astype(np.float32)


def assert_close(actual: NDArray, wanted: NDArray, what: object) -> None:
    # float32 sums of up to a few hundred products of standard normals
    assert actual.shape == wanted.shape, what
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=2e-5 * max(1, np.abs(wanted).max()), err_msg=str(what))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_random_geometries_agree_with_torch(make_session, rank):
    rng = np.random.default_rng([29, rank])
    done = 0
    while done < CASES_PER_RANK:
        kernel = [int(k) for k in rng.integers(1, 5, rank)]
        geometry = random_geometry(rng, kernel)
        inputs, outputs = geometry.group * int(rng.integers(1, 24)), int(rng.integers(1, 14))
        sizes = rng.integers(1, {1: 300, 2: 33, 3: 9}[rank], rank)
        reach = [(k - 1) * d + 1 - 2 * p for k, d, p in zip(kernel, geometry.dilations, geometry.pads, strict=True)]
        if any((n - 1) * s + r < 1 for n, s, r in zip(sizes, geometry.strides, reach, strict=True)):
            continue  # torch refuses an empty output
        done += 1
        weight = random_weight(rng, (inputs, outputs, *kernel), float(rng.choice([0, 0.05, 0.3, 1])))
        bias = rng.standard_normal(outputs * geometry.group).astype(np.float32)
        x = rng.standard_normal((int(rng.integers(1, 4)), inputs, *sizes)).astype(np.float32)
        code = CODES[int(rng.integers(3))]
        session = make_session(node(weight, bias, geometry, code=code))
        assert_close(session.run(None, {"x": x})[0], expected(x, weight, bias, geometry), (geometry, x.shape))


FREQUENT = {
    "kernel 2, stride 2": ([2, 2], Geometry(strides=[2, 2], pads=[0, 0], output_padding=[0, 0], dilations=[1, 1])),
    "kernel 4, stride 2": ([4, 4], Geometry(strides=[2, 2], pads=[1, 1], output_padding=[0, 0], dilations=[1, 1])),
    "kernel 3, stride 2": ([3, 3], Geometry(strides=[2, 2], pads=[1, 1], output_padding=[1, 1], dilations=[1, 1])),
    "kernel 3, stride 1": ([3, 3], Geometry(strides=[1, 1], pads=[1, 1], output_padding=[0, 0], dilations=[1, 1])),
    "kernel 4, stride 4": ([4, 4], Geometry(strides=[4, 4], pads=[0, 0], output_padding=[0, 0], dilations=[1, 1])),
    "kernel 3, stride 3": ([3, 3], Geometry(strides=[3, 3], pads=[0, 0], output_padding=[2, 1], dilations=[1, 1])),
    "kernel 16, stride 8": ([16], Geometry(strides=[8], pads=[4], output_padding=[0], dilations=[1])),
}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", FREQUENT)
def test_layers_of_real_networks_do_not_depend_on_the_number_of_threads(make_session, name):
    kernel, geometry = FREQUENT[name]
    rng = np.random.default_rng(31)
    weight = random_weight(rng, (96, 40, *kernel), 0.05)
    bias = rng.standard_normal(40).astype(np.float32)
    x = rng.standard_normal((2, 96, *(28,) * len(kernel))).astype(np.float32)
    alone = make_session(node(weight, bias, geometry)).run(None, {"x": x})[0]
    assert_close(alone, expected(x, weight, bias, geometry), name)
    session = make_session(node(weight, bias, geometry), 4)
    for _ in range(4):  # the first runs learn the number of threads
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], alone)


@pytest.mark.parametrize("activation", ["Relu", "Clip", "Silu"])
def test_the_activation_follows_the_sum(make_session, activation: ActivationName):
    kernel, geometry = FREQUENT["kernel 4, stride 2"]
    rng = np.random.default_rng(37)
    weight = random_weight(rng, (20, 9, *kernel), 0.2)
    bias = rng.standard_normal(9).astype(np.float32)
    x = rng.standard_normal((1, 20, 7, 5)).astype(np.float32)
    plain = node(weight, bias, geometry, variant=activation)
    bounded = Node(**{**vars(plain), "attributes": plain.attributes | {"low": -0.5, "high": 2.0}})
    values = expected(x, weight, bias, geometry)
    curves = {"Relu": np.maximum(values, 0), "Clip": values.clip(-0.5, 2), "Silu": values / (1 + np.exp(-values))}
    assert_close(make_session(bounded).run(None, {"x": x})[0], curves[activation], activation)


def test_int8_values_have_a_scale_for_each_input_channel(make_session):
    kernel, geometry = FREQUENT["kernel 2, stride 2"]
    rng = np.random.default_rng(41)
    levels = (rng.integers(-127, 128, (12, 6, *kernel)) * (rng.random((12, 6, *kernel)) < 0.2)).astype(np.int8)
    scale = rng.random(12).astype(np.float32)
    bias = rng.standard_normal(6).astype(np.float32)
    x = rng.standard_normal((2, 12, 9, 5)).astype(np.float32)
    coded_as_levels = node(levels, bias, geometry, variant="Int8")
    constants = {"places": coded_as_levels.constants["places"], "values": coded_as_levels.constants["values"]}
    with_scale = Node(**{**vars(coded_as_levels), "constants": {**constants, "scale": scale, "bias": bias}})
    wanted = expected(x, levels * scale[:, None, None, None], bias, geometry)
    assert_close(make_session(with_scale).run(None, {"x": x})[0], wanted, "int8")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"output_padding": [2, 0]}, "output_padding has the element 2"),
        ({"output_padding": [-1, 0]}, "output_padding has the element -1"),
        ({"output_padding": [0]}, "output_padding has 1 elements"),
        ({"strides": [0, 1]}, "strides"),
        ({"strides": [4096, 2]}, "product of strides"),
        ({"dilations": [5000, 1], "strides": [1, 1]}, "reaches over more than"),
        ({"group": 5}, "group 5 does not divide"),
        ({"weight_shape": [8, 3, 2, 2]}, "bias must be a float tensor with 3 elements"),
    ],
)
def test_a_malformed_node_is_refused_when_the_session_is_made(make_session, changed, message):
    kernel, geometry = FREQUENT["kernel 2, stride 2"]
    weight = random_weight(np.random.default_rng(43), (8, 6, *kernel), 0.3)
    good = node(weight, np.zeros(6, np.float32), geometry)
    with pytest.raises(Exception, match=f"SparseConvTranspose.*{message}"):
        make_session(Node(**{**vars(good), "attributes": good.attributes | changed}))


@pytest.mark.parametrize(
    ("shape", "pads", "message"),
    [((1, 7, 4, 4), 0, "7 channels"), ((1, 8, 0, 4), 0, "spatial axis of 0"), ((1, 8, 1, 4), 1, "leaves no output")],
)
def test_an_input_that_does_not_fit_is_refused_when_it_runs(make_session, shape, pads, message):
    geometry = Geometry(strides=[2, 2], pads=[pads] * 2, output_padding=[0, 0], dilations=[1, 1])
    weight = random_weight(np.random.default_rng(47), (8, 6, 2, 2), 0.3)
    session = make_session(node(weight, np.zeros(6, np.float32), geometry))
    with pytest.raises(Exception, match=f"SparseConvTranspose.*{message}"):
        session.run(None, {"x": np.zeros(shape, np.float32)})


def test_a_batch_of_none_gives_none(make_session):
    _, geometry = FREQUENT["kernel 2, stride 2"]
    weight = random_weight(np.random.default_rng(53), (8, 6, 2, 2), 0.3)
    session = make_session(node(weight, np.zeros(6, np.float32), geometry))
    assert session.run(None, {"x": np.zeros((0, 8, 3, 4), np.float32)})[0].shape == (0, 6, 6, 8)
