"""Activations are recognized in a graph by what they compute, however they are written."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import parser

from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.sparse.weight_coding import codings

RANDOM = np.random.default_rng(3)

FORMS = {
    "relu": ("Relu", "y = Relu (p)"),
    "clamp at zero": ("Relu", "y = Max (p, zero)"),
    "relu6": ("Clip", "y = Clip (p, zero, six)"),
    "clip at zero": ("Relu", "y = Clip (p, zero)"),
    "clip from below": ("Clip", "y = Clip (p, half)"),
    "relu6 in two steps": ("Clip", "r = Relu (p) y = Min (r, six)"),
    "relu6 by largest and smallest": ("Clip", "m = Min (six, p) y = Max (zero, m)"),
    "clip from above": ("Clip", "y = Min (p, three)"),
    "relu after relu6": ("Clip", "c = Clip (p, zero, six) y = Relu (c)"),
    "leaky relu": ("LeakyRelu", "y = LeakyRelu <alpha = 0.2> (p)"),
    "hardswish": ("HardSwish", "y = HardSwish (p)"),
    "hardswish by hard sigmoid": ("HardSwish", "g = HardSigmoid <alpha = 0.16666667, beta = 0.5> (p) y = Mul (g, p)"),
    "hardswish by relu6": (
        "HardSwish", "a = Add (p, three) c = Clip (a, zero, six) m = Mul (p, c) y = Div (m, six)",
    ),
    "silu": ("Silu", "g = Sigmoid (p) y = Mul (p, g)"),
    "gelu of torch": (
        "Gelu", "d = Div (p, root) e = Erf (d) a = Add (e, one) h = Mul (half, a) y = Mul (p, h)",
    ),
    "gelu of BERT": (
        "Gelu", "d = Div (p, root) e = Erf (d) a = Add (e, one) m = Mul (p, a) y = Mul (m, half)",
    ),
    "gelu with its half first": (
        "Gelu", "h = Mul (p, half) d = Mul (p, inverse) e = Erf (d) a = Add (one, e) y = Mul (h, a)",
    ),
    "gelu by tanh of torch": (
        "TanhGelu",
        ("c = Pow (p, three) k = Mul (cubic, c) s = Add (p, k) u = Mul (width, s) t = Tanh (u) a = Add (t, one)"
        " h = Mul (half, a) y = Mul (p, h)"),
    ),
    "gelu by tanh with products": (
        "TanhGelu",
        ("q = Mul (p, p) c = Mul (q, cubic) f = Add (one, c) v = Mul (p, width) u = Mul (v, f) t = Tanh (u)"
        " a = Add (one, t) h = Mul (p, half) y = Mul (h, a)"),
    ),
}  # fmt: skip
NOT_KNOWN = {
    "elu": "y = Elu (p)",
    "a sigmoid alone": "y = Sigmoid (p)",
    "a silu that is cut off far away": "m = Min (p, nine) g = Sigmoid (p) y = Mul (m, g)",
    "quick gelu": "s = Mul (p, three) g = Sigmoid (s) y = Mul (p, g)",
    "a silu whose input is read again": "g = Sigmoid (p) s = Mul (p, g) q = Softmax (p) y = Add (s, q)",
    "a hardswish with other constants": "a = Add (p, one) c = Clip (a, zero, six) m = Mul (p, c) y = Div (m, six)",
    "a relu6 whose bound is computed": "b = ReduceMax <keepdims = 0> (x) y = Clip (p, zero, b)",
}
AS_TORCH_WRITES = [
    "relu",
    "relu6",
    "relu6 in two steps",
    "leaky relu",
    "hardswish",
    "silu",
    "gelu of torch",
    "gelu by tanh of torch",
]

CONSTANTS = """
    float zero = {0}, float one = {1}, float half = {0.5}, float three = {3}, float six = {6}, float nine = {9},
    float root = {1.41421354}, float inverse = {0.70710677}, float cubic = {0.044715}, float width = {0.797884583}
"""


def dense(body: str, opset: int = 18) -> onnx.ModelProto:
    """A sparse linear layer over tokens, and behind it `body`, from p to y."""
    proto: onnx.ModelProto = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}]> g (float[batch, 48] x) => (float[batch, 64] y)'
        f" <{CONSTANTS}> {{ p = Gemm <transB = 1> (x, w) {body} }}"
    )
    weight = (RANDOM.standard_normal((64, 48)) * (RANDOM.random((64, 48)) < 0.1)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def portable(proto: onnx.ModelProto) -> onnx.ModelProto:
    model = ir.from_proto(proto)
    decided = tuple(codings(model.graph, "fp32", lambda *_: 2.0))
    written: onnx.ModelProto = ir.to_proto(apply_form(model, "portable", decided))
    onnx.checker.check_model(written, full_check=True)
    return written


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )[0]


X = (4 * RANDOM.standard_normal((5, 48))).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_an_activation_joins_the_layer_however_it_is_written(form):
    name, body = FORMS[form]
    original = dense(body)
    written = portable(original)
    assert [node.op_type for node in written.graph.node] == [f"SparseGemm{name}"]
    # written in another order, its products round differently, three times at most
    np.testing.assert_allclose(run(written, X), run(original, X), rtol=0, atol=5e-7 * np.abs(X).max())


@pytest.mark.parametrize("form", AS_TORCH_WRITES)
def test_stock_onnx_runtime_computes_the_same_bits_of_what_torch_exports(form):
    original = dense(FORMS[form][1])
    assert np.array_equal(run(portable(original), X), run(original, X))


@pytest.mark.parametrize("form", NOT_KNOWN)
def test_what_is_not_a_known_activation_stays_as_it_is(form):
    original = dense(NOT_KNOWN[form])
    written = portable(original)
    assert [node.op_type for node in written.graph.node] == ["SparseGemm"] + [
        node.op_type for node in original.graph.node if node.op_type != "Gemm"
    ]
    assert np.array_equal(run(written, X), run(original, X))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_operator_of_newer_files_is_recognized(approximate):
    original = dense(f'y = Gelu <approximate = "{approximate}"> (p)', opset=20)
    written = portable(original)
    assert [node.op_type for node in written.graph.node] == [
        "SparseGemmGelu" if approximate == "none" else "SparseGemmTanhGelu"
    ]
    np.testing.assert_allclose(run(written, X), run(original, X), rtol=0, atol=5e-7 * np.abs(X).max())
