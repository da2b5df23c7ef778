"""PlainMaxPool against windows read one by one, and against ONNX Runtime's own MaxPool."""

from __future__ import annotations

import platform

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_MAX_POOL, VERSION

Window = dict[str, list[int]]


def pool(window: Window, shape: tuple[int | None, ...] = (None,) * 4, *, ours: bool = True) -> bytes:
    """A model of one pool from `x` to `y`: our operator, or the standard one."""
    op, domain = (PLAIN_MAX_POOL, DOMAIN) if ours else ("MaxPool", "")
    node = helper.make_node(op, ["x"], ["y"], domain=domain, **window)
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))]
    values.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape)))
    graph = helper.make_graph([node], "pool", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def reference(x: NDArray, window: Window) -> NDArray:
    """Row by row through each window: the maximum so far stays where it is greater than what comes."""
    (height, width), (down, right), pads = window["kernel_shape"], window["strides"], window["pads"]
    rows = (x.shape[2] + pads[0] + pads[2] - height) // down + 1
    columns = (x.shape[3] + pads[1] + pads[3] - width) // right + 1
    y = np.full((*x.shape[:2], rows, columns), np.finfo(np.float32).min, np.float32)
    for i, j in np.ndindex(height, width):
        for row, column in np.ndindex(rows, columns):
            r, c = row * down - pads[0] + i, column * right - pads[1] + j
            if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]:
                best = y[..., row, column]
                y[..., row, column] = np.where(best > x[..., r, c], best, x[..., r, c])
    return y


def image(shape: tuple[int, ...], seed: int) -> NDArray:
    """Normals, among them zeros of both signs, infinities and NaN."""
    rng = np.random.default_rng(seed)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], np.float32)[rng.integers(5, size=shape)]
    return np.where(rng.random(shape) < 0.3, odd, rng.standard_normal(shape)).astype(np.float32)


def same_bits(ours: NDArray, theirs: NDArray) -> bool:
    """Equal, signs of zeros too; one NaN is like another."""
    ours, theirs = (np.where(np.isnan(a), np.float32(np.nan), a) for a in (ours, theirs))
    return ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, tuple[int, int]]:
    kernel = draw(st.lists(st.integers(1, 5), min_size=2, max_size=2))
    strides = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    pads = [draw(st.integers(0, size - 1)) for size in (*kernel, *kernel)]
    sides = [draw(st.integers(max(1, k - a - b), 40)) for k, a, b in zip(kernel, pads[:2], pads[2:], strict=True)]
    return {"kernel_shape": kernel, "strides": strides, "pads": pads}, (sides[0], sides[1])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(windows(), st.integers(0, 2), st.integers(1, 3), st.integers(0, 2**32))
def test_every_result_is_that_of_its_window_read_row_by_row(make_session, isa, case, batch, channels, seed):
    window, sides = case
    x = image((batch, channels, *sides), seed)
    assert same_bits(make_session(pool(window)).run(None, {"x": x})[0], reference(x, window)), isa


FREQUENT = [
    {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 0, 0]},
    {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [7, 7], "strides": [7, 7], "pads": [0, 0, 0, 0]},
    {"kernel_shape": [1, 3], "strides": [2, 2], "pads": [0, 1, 0, 1]},
    {"kernel_shape": [3, 1], "strides": [1, 2], "pads": [1, 0, 0, 0]},
]


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="there a NaN passes any maximum")
@pytest.mark.parametrize("window", FREQUENT, ids=str)
def test_the_bits_are_those_of_onnx_runtime_in_its_blocked_layout(make_session, isa, window):
    shape = (2, 32, 35, 67)
    x = image(shape, 7)
    stock = onnxruntime.InferenceSession(
        pool(window, (None, 32, None, None), ours=False), providers=["CPUExecutionProvider"]
    )
    assert same_bits(make_session(pool(window)).run(None, {"x": x})[0], stock.run(None, {"x": x})[0]), isa


def test_threads_share_the_channels_of_all_images(make_session):
    window = FREQUENT[1]
    x = image((3, 50, 57, 61), 3)
    alone = make_session(pool(window)).run(None, {"x": x})[0]
    session = make_session(pool(window), 4)
    for _ in range(8):  # a kernel learns from its runs how many threads there are
        assert same_bits(session.run(None, {"x": x})[0], alone)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_shape": [2]}, "kernel_shape must have 2"),
        ({"kernel_shape": [2, 2, 2]}, "kernel_shape must have 2"),
        ({"kernel_shape": [0, 2]}, "kernel_shape has an extent of 0"),
        ({"kernel_shape": [2, 2**40]}, "kernel_shape has an extent of 1099511627776"),
        ({"kernel_shape": [2**20, 2**20]}, "kernel positions"),
        ({"strides": [2]}, "strides"),
        ({"strides": [0, 1]}, "strides"),
        ({"pads": [0, 0]}, "pads"),
        ({"pads": [0, -1, 0, 0]}, "pads"),
        ({"pads": [0, 0, 2, 0]}, "pads must be smaller than kernel_shape"),
    ],
)
def test_attributes_that_make_no_window_are_refused_when_the_session_is_made(make_session, changed, message):
    with pytest.raises(Exception, match=f"PlainMaxPool.*{message}"):
        make_session(pool(FREQUENT[0] | changed))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3, 8), "3 dimensions"), ((1, 3, 0, 8), "empty spatial axis"), ((1, 3, 1, 8), "smaller than the kernel")],
)
def test_an_input_that_does_not_fit_is_refused_when_it_runs(make_session, shape, message):
    session = make_session(pool(FREQUENT[0], (None,) * len(shape)))
    with pytest.raises(Exception, match=f"PlainMaxPool.*{message}"):
        session.run(None, {"x": np.zeros(shape, np.float32)})
