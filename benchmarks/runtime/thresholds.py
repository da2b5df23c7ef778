"""Ratio dense / sparse of single layers over the density: where sparse stops to pay, per kind of layer.

The time is that of the one thread's CPU: other work on the machine does not count.
"""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnxruntime
from networks import gap_code, random_mask
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery import runtime
from n2nsurgery.export.sparse.operators import DOMAIN

DENSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
# name, weight shape, input shape, stride
LAYERS = [
    ("1x1 at 56", (64, 256, 1, 1), (1, 256, 56, 56), 1),
    ("1x1 at 14", (256, 1024, 1, 1), (1, 1024, 14, 14), 1),
    ("1x1 at 7", (2048, 512, 1, 1), (1, 512, 7, 7), 1),
    ("3x3 at 56", (64, 64, 3, 3), (1, 64, 56, 56), 1),
    ("3x3 at 14", (256, 256, 3, 3), (1, 256, 14, 14), 1),
    ("3x3 at 7", (512, 512, 3, 3), (1, 512, 7, 7), 1),
    ("linear, 1 row", (1000, 2048), (1, 2048), 1),
    ("linear, 1 row", (4096, 8192), (1, 8192), 1),
    ("linear, 16 rows", (1000, 2048), (16, 2048), 1),
    ("linear, 197 rows", (768, 768), (197, 768), 1),
]


def models(weight: np.ndarray, x_shape: tuple[int, ...], stride: int) -> tuple[bytes, bytes]:
    bias = np.zeros(weight.shape[0], np.float32)
    gaps, values = gap_code(weight)
    attributes: dict = {"weight_shape": list(weight.shape)}
    conv: dict = {}
    if weight.ndim == 4:
        conv = {"pads": [weight.shape[-1] // 2] * 4, "strides": [stride] * 2}
    op = "Conv" if conv else "Gemm"
    constants = {"gaps": gaps, "values": values, "b": bias}
    coded = helper.make_node(f"Sparse{op}", ["x", *constants], ["y"], domain=DOMAIN, **attributes, **conv)
    sparse = model(coded, x_shape, constants)
    node = helper.make_node(op, ["x", "w", "b"], ["y"], **(conv or {"transB": 1}))
    return model(node, x_shape, {"w": weight, "b": bias}), sparse


def model(node: onnx.NodeProto, x_shape: tuple[int, ...], constants: dict[str, np.ndarray]) -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x_shape))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(x_shape))]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "layer", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def ratio(dense_model: bytes, sparse_model: bytes, x: np.ndarray) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    dense = onnxruntime.InferenceSession(dense_model, options, providers=["CPUExecutionProvider"])
    runtime.register(options)
    sparse = onnxruntime.InferenceSession(sparse_model, options, providers=["CPUExecutionProvider"])
    times: list[list[float]] = [[], []]
    for _ in range(25):
        for run, samples in zip((dense, sparse), times, strict=True):
            begin = time.thread_time()
            run.run(None, {"x": x})
            samples.append(time.thread_time() - begin)
    return float(np.percentile(times[0], 20) / np.percentile(times[1], 20))


def main() -> None:
    rng = np.random.default_rng(0)
    for kind in ("uniform", "block4"):
        for name, weight_shape, x_shape, stride in LAYERS:
            x = rng.standard_normal(x_shape).astype(np.float32)
            ratios = []
            for density in DENSITIES:
                mask = random_mask(weight_shape, density, kind, rng)
                weight = np.where(mask, rng.standard_normal(weight_shape), 0).astype(np.float32)
                ratios.append(ratio(*models(weight, x_shape, stride), x))
            print(
                f"{kind:8s} {name:18s}",
                *(f"{d:g}: {r:.2f} " for d, r in zip(DENSITIES, ratios, strict=True)),
                flush=True,
            )


if __name__ == "__main__":
    main()
