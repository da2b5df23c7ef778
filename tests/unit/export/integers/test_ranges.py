"""Ranges of tensors on calibration data."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from n2nsurgery.export.integers.ranges import ranges


def model() -> ir.Model:
    """h = -x, y = -h, for rows of any number."""
    values = [helper.make_tensor_value_info(name, 1, ["n", 1000]) for name in "xy"]
    nodes = [helper.make_node("Neg", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))


ROWS = np.linspace(0, 1, 1000, dtype=np.float32)[None]


def test_at_100_a_range_is_from_the_least_to_the_greatest_value_of_all_batches():
    found = ranges(model(), ("h", "y"), [[ROWS], [2 * ROWS - 1]])
    assert found == {"h": (-1, 1), "y": (-1, 1)}


@pytest.mark.parametrize("percentile", [99.0, 90.0])
def test_a_percentile_leaves_out_both_ends_and_is_the_mean_of_the_batches(percentile):
    found = ranges(model(), ("h", "y"), [[ROWS], [3 * ROWS]], percentile)
    cut = 1 - percentile / 100
    # float32 interpolation between neighbours of a thousand values
    assert found["y"] == pytest.approx((2 * cut, 2 * (1 - cut)), abs=1e-5)
    assert found["h"] == pytest.approx((-2 * (1 - cut), -2 * cut), abs=1e-5)
