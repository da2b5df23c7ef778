"""What a model claims of a node's input lets its plan be made early; a false claim changes no answer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import sparse_reference as reference
from onnx import TensorProto, helper, numpy_helper
from sparse_node import coded

from n2nsurgery.export.sparse.operators import DOMAIN, VERSION


def model(op: str, weight: np.ndarray, claimed: tuple[int | str, ...], rank: int, **attributes: object) -> bytes:
    """`claiming` with a weight, without a bias."""
    constants = {**coded(weight), "bias": np.zeros(weight.shape[0], np.float32)}
    return claiming(op, constants, claimed, rank, weight_shape=list(weight.shape), **attributes)


def claiming(op: str, constants: dict, claimed: tuple[int | str, ...], rank: int, **attributes: object) -> bytes:
    """y = op(Reshape(flat, shape)): nothing but `claimed` tells the shape of the node's input beforehand."""
    nodes = [
        helper.make_node("Reshape", ["flat", "shape"], ["x"]),
        helper.make_node(op, ["x", *constants], ["y"], domain=DOMAIN, **attributes),
    ]
    inputs = [
        helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [rank]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    claims = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(claimed))]
    graph = helper.make_graph(nodes, "claims", inputs, outputs, initializers, value_info=claims)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return made.SerializeToString()


@pytest.mark.parametrize(
    "claimed",
    [
        ("batch", 6, 9, 11),
        (2, 6, 9, 11),
        ("batch", 6, 64, 64),
        ("batch", 6, "height", "width"),
        ("batch", 7, 9, 11),
        ("batch", 6, 0, 11),
        ("batch", 6, 2**30, 2**30),
        ("batch", 6, 2**62, 2**62),
        (2**62, 6, 9, 11),
    ],
)
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [2**29, 2**29, 2**29, 2**29], [0, 0, 2**30, 2**30]])
def test_a_convolution_is_right_whatever_was_claimed(make_session, claimed: tuple, pads: list[int]) -> None:
    rng = np.random.default_rng(29)
    weight = np.where(rng.random((8, 6, 3, 3)) < 0.2, rng.standard_normal((8, 6, 3, 3)), 0).astype(np.float32)
    session = make_session(model("SparseConv", weight, claimed, 4, pads=pads))
    if max(pads) > 1:
        return  # such a result fits no memory: loading it had to be cheap
    for shape in [(1, 6, 9, 11), (2, 6, 9, 11), (1, 6, 5, 40)]:
        x = rng.standard_normal(shape).astype(np.float32)
        y = session.run(None, {"flat": x.ravel(), "shape": np.array(shape)})[0]
        expected = reference.conv(x, weight, np.zeros(8), (1, 1), (1, 1, 1, 1), (1, 1), 1)
        # float32 sums of about eleven products of standard normals
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "claimed", [("batch", 20, 30), ("batch", "tokens", 30), ("batch", 20, 31), ("batch", 2**61, 30), ("batch", 0, 30)]
)
def test_a_matrix_product_is_right_whatever_was_claimed(make_session, claimed: tuple) -> None:
    rng = np.random.default_rng(31)
    weight = np.where(rng.random((12, 30)) < 0.3, rng.standard_normal((12, 30)), 0).astype(np.float32)
    session = make_session(model("SparseGemm", weight, claimed, 3))
    for shape in [(1, 20, 30), (2, 7, 30), (1, 1, 30)]:
        x = rng.standard_normal(shape).astype(np.float32)
        y = session.run(None, {"flat": x.ravel(), "shape": np.array(shape)})[0]
        # float32 sums of about nine products of standard normals
        np.testing.assert_allclose(y, reference.gemm(x, weight, np.zeros(12)), rtol=0, atol=2e-5)


def test_a_claim_of_a_size_that_no_sender_would_pay_for_makes_no_plan(make_session) -> None:
    one = {"places": np.zeros(1, np.uint8), "values": np.ones(1, np.float32), "bias": np.zeros(2**16, np.float32)}
    # a plan would list every output channel in every tile of the million input channels
    make_session(claiming("SparseConv", one, ("batch", 2**20, 16, 16), 4, weight_shape=[2**16, 2**20, 1, 1]))


def test_one_row_times_more_inputs_than_16_bits_count(make_session) -> None:
    rng = np.random.default_rng(37)
    weight = np.where(rng.random((3, 70_000)) < 0.01, rng.standard_normal((3, 70_000)), 0).astype(np.float32)
    session = make_session(model("SparseGemm", weight, ("batch", 70_000), 2))
    x = rng.standard_normal((2, 70_000)).astype(np.float32)
    y = session.run(None, {"flat": x.ravel(), "shape": np.array(x.shape)})[0]
    expected = reference.gemm(x, weight, np.zeros(3))
    # float32 sums of 700 products
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
