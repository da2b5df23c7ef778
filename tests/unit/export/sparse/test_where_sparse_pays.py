"""Where the sparse kernel is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from n2nsurgery.export.sparse.where_sparse_pays import LayerShape, measured_verdict, predict, shares_positions

UNIT = {"strides": (1, 1), "dilations": (1, 1)}


def conv(*shape: int, **more: object) -> LayerShape:
    """A convolution that is a tenth dense where nothing else is said."""
    return LayerShape(**{"kind": "Conv", "shape": shape, "density": 0.1, **UNIT, **more})  # type: ignore[arg-type]


def linear(*shape: int, rows: int = 1, **more: object) -> LayerShape:
    return LayerShape(**{"kind": "Gemm", "shape": shape, "density": 0.1, "rows": rows, **more})  # type: ignore[arg-type]


def transposed(*shape: int, strides: int, pads: int = 0, **more: object) -> LayerShape:
    rank = len(shape) - 2
    sides = {"strides": (strides,) * rank, "pads": (pads,) * rank, "dilations": (1,) * rank}
    return LayerShape(**{"kind": "ConvTranspose", "shape": shape, "density": 0.1, **sides, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "limit"),
    [
        (conv(64, 64, 1, 1), 0.40),
        (conv(64, 64, 3, 3), 0.40),
        (conv(64, 64, 3, strides=(1,), dilations=(1,)), 0.40),
        (conv(64, 1, 80, strides=(4,), dilations=(1,)), 0.40),
        (conv(64, 64, 3, 3, blocks=True), 0.60),
        (transposed(64, 32, 2, 2, strides=2), 0.40),
        (transposed(64, 32, 4, 4, strides=2, pads=1), 0.40),
        (transposed(64, 32, 64, 64, strides=32, pads=16), 0.40),
        (linear(1000, 2048), 0.08),
        (linear(1000, 2048, rows=15), 0.08),
        (linear(1000, 2048, blocks=True), 0.08),
        (linear(1000, 2048, beside=94_000_000), 0.15),
        (linear(4096, 8192), 0.15),
        (linear(1000, 2048, rows=16), 0.50),
        (linear(768, 768, rows=197, blocks=True), 0.60),
    ],
)
def test_every_class_of_layers_has_its_limit(layer, limit):
    for density, sparse in ((limit, True), (limit + 0.01, False)):
        verdict = predict(LayerShape(**{**vars(layer), "density": density}))
        assert verdict.sparse is sparse
        assert f"{limit:g}" in verdict.reason
        assert verdict.measured is None


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (conv(64, 1, 3, 3, groups=64, density=0.01), "depthwise"),
        (transposed(64, 1, 2, 2, strides=2, groups=64), "depthwise"),
        (transposed(8, 8, 128, 128, strides=128), "further"),  # 16384 phases
        (transposed(8, 8, 3, strides=1, dilations=(2100,)), "further"),
        (conv(8, 8, 3, strides=(1,), dilations=(400,), density=0.01), "further"),
        (conv(8, 8, 200, 400, density=0.01), "further"),  # 200 rows of 416 floats
    ],
)
def test_what_the_kernel_cannot_do_well_is_dense_at_any_density(layer, reason):
    verdict = predict(layer)
    assert not verdict.sparse
    assert reason in verdict.reason


def test_a_long_reach_that_can_be_addressed_is_not_a_obstacle():
    assert predict(conv(8, 8, 150, 400)).sparse
    assert predict(conv(8, 8, 1, 1, dilations=(900, 900))).sparse  # a 1x1 kernel reaches nowhere


def test_blocks_are_seen_in_the_weight_itself():
    weight = np.zeros((8, 3, 2), np.float32)
    weight[:4, 1, 0] = weight[4:, 2, 1] = 1
    assert shares_positions(weight)
    assert shares_positions(weight, groups=2)
    assert not shares_positions(weight, groups=4)  # two outputs in a group cannot be a block
    weight[0, 0, 0] = 1
    assert not shares_positions(weight)


@pytest.mark.parametrize(("ratio", "sparse"), [(1.01, True), (1.0, False), (0.5, False)])
def test_a_layer_that_was_measured_is_sparse_where_it_is_faster(ratio, sparse):
    verdict = measured_verdict(ratio)
    assert verdict.sparse is sparse
    assert verdict.measured == ratio
    assert "measured" in verdict.reason
