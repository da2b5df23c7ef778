"""Malformed integer nodes are refused when the session is made, malformed inputs when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from int8_node import Layer

Change = Callable[[np.ndarray], np.ndarray]


def good() -> Layer:
    weight = np.zeros((8, 6, 3, 3), np.int8)
    weight[:, 1] = 5
    return Layer(
        weight=weight, scales=np.full(8, 0.1, np.float32), bias=np.zeros(8, np.int32), x=(0.1, 3), y=(0.1, 7),
        strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x_scale", lambda a: a * np.float32(0), "x_scale must be finite and above 0"),
        ("y_scale", lambda a: a * np.float32(np.nan), "y_scale must be finite and above 0"),
        ("x_scale", lambda a: np.repeat(a, 2), "x_scale must be one float"),
        ("y_zero_point", lambda a: np.repeat(a, 2), "y_zero_point must be one uint8"),
        ("scales", lambda a: a[:5], "scales must be a float tensor with 1 or 8 elements"),
        ("scales", lambda a: -a, "scales must be above 0"),
        ("scales", lambda a: a * np.float32(np.inf), "finite"),
        ("bias", lambda a: a[:5], "bias must be an int32 tensor with 8 elements"),
        ("bias", lambda a: a + np.int32(2**31 - 1), "sums of output 0 could leave 32 bits"),
        ("places", lambda a: a[:-1], "gaps and values differ in length"),
        ("places", lambda a: np.full_like(a, 255), "of a weight with"),
        ("places", lambda a: a.reshape(1, -1), "one dimension"),
    ],
)
def test_constants_that_make_no_layer_are_refused_when_the_session_is_made(
    make_session, name: str, change: Change, message: str
):
    constants: dict[str, Any] = {key: np.asarray(value) for key, value in good().constants.items()}
    constants[name] = change(constants[name])
    with pytest.raises(Exception, match=f"SparseQLinearConv.*{message}"):
        make_session(good().model(constants))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ((1, 0, 0), "a packed X needs fours of inputs in each group"),
        ((0, 1), "packed must have 3 elements, each 0 or 1"),
        ((0, 0, 2), "packed must have 3 elements, each 0 or 1"),
    ],
)
def test_a_packed_order_that_the_channels_do_not_have_is_refused(make_session, packed: tuple[int, ...], message: str):
    with pytest.raises(Exception, match=f"SparseQLinearConv.*{message}"):
        make_session(replace(good(), packed=packed).model())
    grouped = replace(good(), weight=np.zeros((8, 4, 1, 1), np.int8), group=4, packed=(0, 0, 1))
    with pytest.raises(Exception, match="result needs fours of outputs in each group"):
        make_session(grouped.model())


def test_a_bias_of_another_type_is_refused_by_the_operator_s_schema(make_session):
    constants = good().constants | {"bias": np.zeros(8, np.float32)}
    with pytest.raises(Exception, match=r"SparseQLinearConv|tensor\(float\)"):
        make_session(good().model(constants))


def test_an_input_with_other_channels_is_refused_when_it_runs(make_session):
    with pytest.raises(Exception, match=r"SparseQLinearConv.*does not have 6 channels"):
        make_session(good().model()).run(None, {"x": np.zeros((1, 5, 9, 9), np.uint8)})


def test_a_residual_of_another_shape_is_refused_when_it_runs(make_session):
    layer = replace(good(), residual=(0.1, 0), total=(0.1, 0))
    feed = {"x": np.zeros((1, 6, 9, 9), np.uint8), "residual": np.zeros((1, 8, 1, 1), np.uint8)}
    with pytest.raises(Exception, match="residual does not have the output's shape"):
        make_session(layer.model()).run(None, feed)


def test_a_linear_layer_s_input_of_another_length_is_refused_when_it_runs(make_session):
    layer = Layer(
        weight=np.ones((3, 8), np.int8), scales=np.ones(3, np.float32), bias=np.zeros(3, np.int32), x=(1, 0), y=(1, 0)
    )
    with pytest.raises(Exception, match=r"SparseQLinearGemm.*last dimension is 7"):
        make_session(layer.model()).run(None, {"x": np.zeros((2, 7), np.uint8)})
