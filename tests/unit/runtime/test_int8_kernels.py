"""The integer kernels against numpy's integers, to the bit, over random shapes, for every instruction set here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from int8_node import Layer, Levels, fitted, packed
from numpy.typing import NDArray

from n2nsurgery.export.codec.choose import Code

CASES_PER_RANK = 60
CODES: tuple[Code, ...] = ("gaps8", "gaps16", "bits")


def random_levels(rng: np.random.Generator) -> Levels:
    return float(rng.uniform(0.001, 0.1)), int(rng.choice([0, 255, rng.integers(256)]))


def random_weight(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Blocks of four inputs or single weights, some rows empty; often of the largest size, which 16 bits cannot add."""
    groups = -(-shape[1] // 4)
    density = float(rng.choice([0.02, 0.1, 0.4, 1.0]))
    present = rng.random((shape[0], groups, *shape[2:])) < density
    present = np.repeat(present, 4, axis=1)[:, : shape[1]]
    if rng.random() < 0.5:
        present &= rng.random(shape) < 0.5
    present[rng.random(shape[0]) < 0.15] = False
    largest = rng.choice([-128, 127], shape)
    weight = np.where(rng.random(shape) < 0.3, largest, rng.integers(-128, 128, shape))
    return np.where(present, weight, 0).astype(np.int8)


def random_layer(rng: np.random.Generator, rank: int) -> tuple[Layer, tuple[int, ...]]:
    """A convolution and its input's shape."""
    kernel = (1,) * rank if rng.random() < 0.3 else tuple(int(k) for k in rng.choice([1, 2, 3, 3, 5], rank))
    dilations = tuple(int(d) for d in rng.choice([1, 1, 1, 2, 3], rank))
    strides = tuple(int(s) for s in rng.choice([1, 1, 1, 2, 2, 3], rank))
    pads = tuple(int(p) for p in rng.choice([0, 0, 1, 1, 2, 4], 2 * rank))
    if rng.random() < 0.4:
        strides, dilations = (1,) * rank, (1,) * rank
        pads = tuple((k - 1) // 2 for k in kernel) * 2
    largest = {1: 700, 2: 40, 3: 10}[rank]
    spatial = tuple(
        max(int(rng.integers(1, largest)), (k - 1) * d + 1 - pads[i] - pads[i + rank])
        for i, (k, d) in enumerate(zip(kernel, dilations, strict=True))
    )
    group = int(rng.choice([1, 1, 1, 2, 3]))
    inputs, outputs = int(rng.integers(1, 30)), group * int(rng.integers(1, 20))
    layer = Layer(
        weight=random_weight(rng, (outputs, inputs, *kernel)),
        scales=rng.uniform(0.001, 0.1, outputs).astype(np.float32),
        bias=rng.integers(-3000, 3000, outputs).astype(np.int32), x=random_levels(rng), y=random_levels(rng),
        strides=strides, pads=pads, dilations=dilations, group=group, code=CODES[int(rng.integers(3))],
    )  # fmt: skip
    return layer, (int(rng.integers(1, 4)), group * inputs, *spatial)


def random_input(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return rng.choice([0, 255, 1, 200, 77], shape).astype(np.uint8)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_convolution_gives_the_levels_of_the_integers_it_stands_for(make_session, isa, rank):
    rng = np.random.default_rng(rank)
    distinct = set()
    for number in range(CASES_PER_RANK):
        layer, shape = random_layer(rng, rank)
        x = random_input(rng, shape)
        layer = fitted(layer, x)
        y = make_session(layer.model()).run(None, {"x": x})[0]
        expected = layer.expected(x)
        distinct.update(expected.reshape(-1).tolist())
        assert y.dtype == np.uint8
        np.testing.assert_array_equal(y, expected, f"{isa}, case {number}: {layer.attributes}, {shape}")
    assert len(distinct) > 100  # the results are no few ends of the range


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_residual_is_added_to_the_rounded_product_and_rounded_again(make_session, isa, rank):
    rng = np.random.default_rng(10 + rank)
    for number in range(CASES_PER_RANK // 3):
        layer, shape = random_layer(rng, rank)
        x = random_input(rng, shape)
        layer = replace(fitted(layer, x), residual=random_levels(rng), total=random_levels(rng))
        residual = rng.integers(0, 256, layer.sums(x).shape).astype(np.uint8)
        y = make_session(layer.model()).run(None, {"x": x, "residual": residual})[0]
        np.testing.assert_array_equal(y, layer.expected(x, residual), f"{isa}, case {number}: {shape}")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_packed_tensors_hold_the_levels_of_plain_ones(make_session, isa, rank):
    rng = np.random.default_rng(20 + rank)
    for number in range(CASES_PER_RANK // 2):
        layer, shape = random_layer(rng, rank)
        inputs, outputs = 4 * int(rng.integers(1, 6)), 4 * layer.group * int(rng.integers(1, 4))
        layer = replace(
            layer, weight=random_weight(rng, (outputs, inputs, *layer.weight.shape[2:])),
            scales=rng.uniform(0.001, 0.1, outputs).astype(np.float32),
            bias=rng.integers(-3000, 3000, outputs).astype(np.int32), packed=tuple(rng.integers(2, size=3).tolist()),
        )  # fmt: skip
        x = random_input(rng, (shape[0], inputs * layer.group, *shape[2:]))
        layer = fitted(layer, x)
        feed = {"x": packed(x) if layer.packed[0] else x}
        residual = None
        if rng.random() < 0.6:
            layer = replace(layer, residual=random_levels(rng), total=random_levels(rng))
            residual = rng.integers(0, 256, layer.sums(x).shape).astype(np.uint8)
            feed["residual"] = packed(residual) if layer.packed[1] else residual
        y = make_session(layer.model(), int(rng.integers(1, 4))).run(None, feed)[0]
        expected = layer.expected(x, residual)
        expected = packed(expected) if layer.packed[2] else expected
        np.testing.assert_array_equal(y, expected, f"{isa}, case {number}: {layer.attributes}, {x.shape}")


@pytest.mark.parametrize("shape", [(1, 1), (3, 37), (1, 64), (200, 65), (2, 7, 30), (0, 12)])
def test_a_linear_layer_gives_the_levels_of_the_integers_it_stands_for(make_session, isa, shape):
    rng = np.random.default_rng(sum(shape))
    for outputs in (1, 5, 40):
        weight = random_weight(rng, (outputs, shape[-1]))
        layer = Layer(
            weight=weight, scales=rng.uniform(0.001, 0.1, outputs).astype(np.float32),
            bias=rng.integers(-3000, 3000, outputs).astype(np.int32), x=random_levels(rng), y=random_levels(rng),
        )  # fmt: skip
        x = random_input(rng, shape)
        layer = fitted(layer, x) if x.size else layer
        y = make_session(rank_of_input(layer, x.ndim)).run(None, {"x": x})[0]
        np.testing.assert_array_equal(y, layer.expected(x), f"{isa}, {outputs} outputs")


def rank_of_input(layer: Layer, rank: int) -> bytes:
    """The layer's model for inputs of another rank than its weight's."""
    import onnx

    model = onnx.load_from_string(layer.model())
    for value in (*model.graph.input, *model.graph.output):
        del value.type.tensor_type.shape.dim[:]
        for _ in range(rank):
            value.type.tensor_type.shape.dim.add()
    return model.SerializeToString()


def test_halves_round_to_even_levels(make_session, isa):
    weight = np.zeros((1, 4), np.int8)
    weight[0, 0] = 1
    layer = Layer(
        weight=weight, scales=np.ones(1, np.float32), bias=np.zeros(1, np.int32), x=(0.5, 0), y=(1.0, 0),
    )  # fmt: skip
    x = np.zeros((6, 4), np.uint8)
    x[:, 0] = [1, 2, 3, 4, 5, 7]
    y = make_session(layer.model()).run(None, {"x": x})[0]
    assert y[:, 0].tolist() == [0, 1, 2, 2, 2, 4], isa


def test_sums_far_beyond_the_last_level_give_the_last_level(make_session, isa):
    weight = np.full((2, 400), 127, np.int8)
    weight[1] = -127
    layer = Layer(
        weight=weight, scales=np.full(2, 1e5, np.float32), bias=np.zeros(2, np.int32), x=(1e3, 0), y=(1e-3, 9),
    )  # fmt: skip
    x = np.full((20, 400), 255, np.uint8)
    y = make_session(layer.model()).run(None, {"x": x})[0]
    assert (y == [255, 0]).all(), isa


def test_threads_share_patches_and_outputs_of_one_image(make_session, isa):
    rng = np.random.default_rng(5)
    for spatial in ((7, 7), (56, 57), (1, 3000)):
        weight = np.where(rng.random((64, 64, 1, 1)) < 0.3, rng.integers(-128, 128, (64, 64, 1, 1)), 0).astype(np.int8)
        layer = Layer(
            weight=weight, scales=np.full(64, 0.01, np.float32), bias=np.zeros(64, np.int32), x=(0.1, 3), y=(0.2, 100),
            strides=(1, 1), pads=(1, 0, 0, 1), dilations=(1, 1),
        )  # fmt: skip
        x = random_input(rng, (3, 64, *spatial))
        session = make_session(layer.model(), 4)
        for _ in range(8):  # a kernel learns from its runs how many threads there are
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], layer.expected(x), isa)


def test_threads_share_a_packed_input_where_it_lies(make_session, isa):
    rng = np.random.default_rng(7)
    layer = Layer(
        weight=random_weight(rng, (36, 32, 1, 1)), scales=np.full(36, 0.01, np.float32), bias=np.zeros(36, np.int32),
        x=(0.1, 3), y=(0.2, 100), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1), packed=(1, 0, 1),
    )  # fmt: skip
    session = make_session(layer.model(), 4)
    for spatial in ((61, 67), (3, 5), (4, 4)):
        x = random_input(rng, (2, 32, *spatial))
        for _ in range(6):
            y = session.run(None, {"x": packed(x)})[0]
            np.testing.assert_array_equal(y, packed(layer.expected(x)), f"{isa}, {spatial}")


def test_one_session_takes_inputs_of_several_sizes(make_session):
    rng = np.random.default_rng(6)
    layer, shape = random_layer(rng, 2)
    layer = replace(layer, strides=(2, 1), pads=(2, 2, 2, 2), dilations=(1, 1))
    session = make_session(layer.model())
    for size in (11, 40, 12, 11):
        x = random_input(rng, (*shape[:2], size, size + 3))
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], layer.expected(x))
