"""Activations in the kernels: against their formulas in float64, and against ONNX Runtime where nothing is a number."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from sparse_node import Node, coded

from n2nsurgery.export.fusion.activations import FORMULAS, SETTINGS
from n2nsurgery.export.sparse.functions import function
from n2nsurgery.export.sparse.operators import Operator

POINTS = np.concatenate([np.linspace(-12, 12, 4001), np.geomspace(1e-6, 1e3, 500), -np.geomspace(1e-6, 1e3, 500)])
LAYOUTS = {"convolution": (1, 16, -1), "many rows": (-1, 16), "one row": (1, 16)}
SETTING = {"low": -1.5, "high": 3.0, "slope": 0.2}
NAMES = ["Relu", "Clip", "LeakyRelu", *FORMULAS]


def node(name: str, layout: str, settings: dict[str, float] = SETTING) -> Node:
    """A layer of 16 channels that gives its input to the activation."""
    gemm = layout != "convolution"
    identity = np.eye(16, dtype=np.float32).reshape((16, 16) if gemm else (16, 16, 1))
    return Node(
        op=f"Sparse{'Gemm' if gemm else 'Conv'}{name}",
        attributes={"weight_shape": list(identity.shape)} | {key: settings[key] for key in SETTINGS.get(name, ())},
        constants={**coded(identity), "bias": np.zeros(16, np.float32)},
        input_rank=2 if gemm else 3,
    )


def exact(name: str, x: np.ndarray) -> np.ndarray:
    if name in FORMULAS:
        return FORMULAS[name](x)
    simple = {"Relu": np.maximum(x, 0), "Clip": np.clip(x, -1.5, 3.0), "LeakyRelu": np.where(x < 0, 0.2 * x, x)}
    return simple[name]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_activations_are_within_three_units_of_the_last_place_of_their_input(make_session, name, layout):
    points = POINTS[: len(POINTS) // 16 * 16].astype(np.float32)
    session = make_session(node(name, layout))
    rows = points.reshape(-1, 1, 16) if layout == "one row" else [points.reshape(LAYOUTS[layout])]
    actual = np.concatenate([session.run(None, {"x": x})[0] for x in rows]).reshape(-1).astype(np.float64)
    expected = exact(name, points.astype(np.float64))
    # 2e-7 is what activation.inl.h promises: the exponential's 1e-7, and the roundings of three products
    assert np.all(np.abs(actual - expected) <= 2e-7 * np.abs(points)), name


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_finite_number_comes_out_as_in_onnx_runtime(make_session, name):
    single = Node(
        op=f"SparseGemm{name}",
        attributes={"weight_shape": [1, 1]} | {key: SETTING[key] for key in SETTINGS.get(name, ())},
        constants={**coded(np.ones((1, 1), np.float32)), "bias": np.zeros(1, np.float32)},
        input_rank=2,
    )
    portable = onnx.load_from_string(single.model())
    portable.functions.append(ir.serde.serialize_function(function(Operator(kind="Gemm", activation=name))))
    stock = onnxruntime.InferenceSession(portable.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([[np.nan], [np.inf], [-np.inf], [0], [1e30], [-1e30], [-100], [-30]], np.float32)
    ours, theirs = make_session(single).run(None, {"x": x})[0], stock.run(None, {"x": x})[0]
    # ONNX Runtime's sigmoid is 0 from -18 on, where ours is what is left, at most e^-30
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-11, equal_nan=True)


def test_a_slope_that_is_not_a_number_is_refused(make_session):
    with pytest.raises(Exception, match="slope must be finite"):
        make_session(node("LeakyRelu", "many rows", {"slope": float("inf")}))


def test_bounds_that_are_no_numbers_are_refused(make_session):
    with pytest.raises(Exception, match="low and high must be numbers"):
        make_session(node("Clip", "convolution", {"low": float("nan"), "high": 1.0}))
