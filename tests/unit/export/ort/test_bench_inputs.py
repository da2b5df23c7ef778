"""Made-up inputs: which sizes open dimensions get, and what is in arrays without fractions."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.export.ort.bench_inputs import feed_of, sample_feeds


def opened(kind: int = TensorProto.FLOAT, **inputs: tuple[int | str | None, ...]) -> onnxruntime.InferenceSession:
    """A session that takes `inputs` and gives each back."""
    nodes = [helper.make_node("Identity", [name], [f"{name}.y"]) for name in inputs]
    taken = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    given = [helper.make_tensor_value_info(f"{name}.y", kind, None) for name in inputs]
    graph = helper.make_graph(nodes, "g", taken, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_open_sizes_of_one_name_are_one_size() -> None:
    session = opened(ids=("batch", "tokens"), mask=("batch", 1, "tokens", "tokens"), state=(2, "batch", 8))
    shapes = [{name: array.shape for name, array in feed.items()} for feed in sample_feeds(session)]
    assert shapes == [{"ids": (n, 16), "mask": (n, 1, 16, 16), "state": (2, n, 8)} for n in (1, 2)]


def test_a_shape_that_is_given_says_the_sizes_of_others() -> None:
    session = opened(ids=("batch", "tokens"), mask=("batch", 1, "tokens", "tokens"))
    (feed,) = sample_feeds(session, {"ids": (3, 5)})
    assert feed["mask"].shape == (3, 1, 5, 5)
    three, four = sample_feeds(session, {"ids": (3, 5)}, batches=True)
    assert (len(three["ids"]), len(four["ids"]), four["mask"].shape) == (3, 4, (4, 1, 5, 5))


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL])
def test_indices_are_zeros_and_ones_that_mask_no_row_and_differ_between_samples(kind: int) -> None:
    _, feed = sample_feeds(opened(kind, x=("batch", 4), y=("batch", 1)))
    assert feed["x"].astype(int).tolist() == [[1, 0, 1, 0], [1, 1, 0, 1]]
    assert feed["y"].astype(int).tolist() == [[1], [0]]


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8])
def test_pixels_take_all_levels(kind: int) -> None:
    (feed,) = sample_feeds(opened(kind, x=(1, 3, 64, 64)))
    assert len(np.unique(feed["x"])) == 256


def test_a_bench_feeds_the_shapes_that_are_given_and_asks_for_those_that_are_not() -> None:
    session = opened(ids=("batch", "tokens"), mask=("batch", 1, "tokens", "tokens"), state=(2, "batch", 8))
    with pytest.raises(UsageError, match=r"'ids' has the shape .*: give them, as in --input-shapes ids=1x16"):
        feed_of(opened(ids=("batch", "tokens")), 1)
    feed = feed_of(session, 1, {"ids": (3, 5)})
    assert {name: array.shape for name, array in feed.items()} == {
        "ids": (3, 5),
        "mask": (3, 1, 5, 5),
        "state": (2, 3, 8),
    }
    with pytest.raises(UnknownNameError, match="unknown input 'idss'"):
        feed_of(session, 1, {"idss": (3, 5)})
    with pytest.raises(UsageError, match="fixed batch of 2; pass --batch 2"):
        feed_of(session, 1)
