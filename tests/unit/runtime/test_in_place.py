"""A sum's result may lie where its residual lay: nobody sees a difference, whoever else reads the residual."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sparse_node import coded

from n2nsurgery.export.sparse.operators import DOMAIN, VERSION

SHAPE = (2, 16, 13, 19)
ONE_PIXEL = (2, 16, 1, 1)


def model(residual: str, outputs: list[str], *, kernel: int, shape: tuple[int, ...]) -> bytes:
    """r = |x|; s = conv(x) + r, or conv(r) + r of `r itself`; y = -s; and, of `r read later`, y * r."""
    rng = np.random.default_rng(2)
    weight = np.where(rng.random((16, 16, kernel, kernel)) < 0.2, rng.standard_normal((16, 16, kernel, kernel)), 0)
    constants = {**coded(weight.astype(np.float32)), "bias": np.zeros(16, np.float32)}
    attributes = {"weight_shape": list(weight.shape), "pads": [kernel // 2] * 4}
    source = "r" if residual == "r itself" else "x"
    nodes = [
        helper.make_node("Abs", ["x"], ["r"]),
        helper.make_node("SparseConvAdd", [source, *constants, "r"], ["s"], domain=DOMAIN, **attributes),
        helper.make_node("Neg", ["s"], ["y"]),
    ]
    if residual == "r read later":
        nodes.append(helper.make_node("Mul", ["y", "r"], ["late"]))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "r", "s", *outputs)]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "sum", values[:1], values[3:], tensors, value_info=values[1:3])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("kernel", "shape"), [(1, SHAPE), (3, SHAPE), (1, ONE_PIXEL)], ids=str)
@pytest.mark.parametrize("residual", ["r", "r itself", "r read later"])
def test_the_residual_is_taken_only_when_nobody_needs_it(make_session, residual, kernel, shape):
    wanted = ["y", "late"] if residual == "r read later" else ["y"]
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    session = make_session(model(residual, wanted, kernel=kernel, shape=shape), 2)
    returned = model(residual, [*wanted, "r"], kernel=kernel, shape=shape)  # what a model returns nobody overwrites
    kept = make_session(returned)
    expected = kept.run(None, {"x": x})
    for _ in range(3):
        actual = session.run(None, {"x": x})
        assert all(np.array_equal(a, b) for a, b in zip(actual, expected[: len(wanted)], strict=True))
