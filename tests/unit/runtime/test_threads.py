"""However many threads share a kernel's work, and however a batch is cut: the same result, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from sparse_node import Node, coded


def conv_node(rng: np.random.Generator, outputs: int, inputs: int, kernel: int, **attributes: object) -> Node:
    shape = (outputs, inputs, kernel, kernel)
    weight = np.where(rng.random(shape) < 0.1, rng.standard_normal(shape), 0).astype(np.float32)
    constants = {**coded(weight), "bias": rng.standard_normal(outputs).astype(np.float32)}
    placed = {"weight_shape": list(shape), "pads": [kernel // 2] * 4, **attributes}
    return Node(op="SparseConvRelu", attributes=placed, constants=constants, input_rank=4)


def gemm_node(rng: np.random.Generator) -> Node:
    weight = np.where(rng.random((200, 160)) < 0.1, rng.standard_normal((200, 160)), 0).astype(np.float32)
    constants = {**coded(weight), "bias": rng.standard_normal(200).astype(np.float32)}
    return Node(op="SparseGemm", attributes={"weight_shape": [200, 160]}, constants=constants, input_rank=2)


# few pixels and many outputs, so that outputs are cut; many pixels, so that patches are; a stride, so that rows are
# packed tightly
@pytest.mark.parametrize(
    ("outputs", "inputs", "kernel", "strides", "extent"),
    [(256, 96, 3, [1, 1], 7), (200, 256, 1, [1, 1], 14), (32, 64, 3, [1, 1], 28), (160, 96, 3, [2, 2], 15)],
)
def test_a_convolution_does_not_depend_on_the_number_of_threads(
    make_session, outputs: int, inputs: int, kernel: int, strides: list[int], extent: int
) -> None:
    rng = np.random.default_rng(41)
    node = conv_node(rng, outputs, inputs, kernel, strides=strides)
    x = rng.standard_normal((3, inputs, extent, extent)).astype(np.float32)
    expected = make_session(node, 1).run(None, {"x": x})[0]
    for threads in (2, 3, 7):
        session = make_session(node, threads)
        for _ in range(3):  # the first run learns how many threads there are
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected)
            np.testing.assert_array_equal(session.run(None, {"x": x[1:2]})[0], expected[1:2])


def test_a_linear_layer_depends_neither_on_the_threads_nor_on_how_many_rows_there_are(make_session) -> None:
    rng = np.random.default_rng(43)
    node = gemm_node(rng)
    x = rng.standard_normal((400, 160)).astype(np.float32)
    expected = make_session(node, 1).run(None, {"x": x})[0]
    for threads in (1, 2, 5):
        session = make_session(node, threads)
        for rows in (400, 3, 17, 49, 197, 400):
            np.testing.assert_array_equal(session.run(None, {"x": x[:rows]})[0], expected[:rows])
