"""A single layer, sparse against dense, on the machine at hand.

The layer is a model of one node of our domain with its function. With the sparse runtime the node is its kernel;
without, ONNX Runtime folds it into the ordinary dense layer. Both take turns on one sample and one thread. What is
fused after the product costs both alike and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.export.capture.capture import IR_VERSION, OPSET
from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.ort.interleaved import run_interleaved
from n2nsurgery.export.ort.providers import session
from n2nsurgery.export.sparse.functions import function
from n2nsurgery.export.sparse.fusion_matches import FusionMatch
from n2nsurgery.export.sparse.operators import DOMAIN, VERSION
from n2nsurgery.export.sparse.portable import attributes_of, operator_of, outputs_of
from n2nsurgery.export.sparse.weight_coding import Race
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime

_SECONDS, _ROUNDS = 0.05, 9


def race_with(libraries: Sequence[Path]) -> Race:
    """The Race that measures with the sparse kernels in `libraries`."""

    def race(match: FusionMatch, coded: CodedWeight) -> float | None:
        if match.sample is None:
            return None
        model = _single_node(match, coded, match.sample)
        x = numpy_generator(0, "race").standard_normal(match.sample).astype(np.float32)
        sparse, dense = run_interleaved(
            [_runner(session(model, threads=1, libraries=registered), x) for registered in (libraries, ())],
            seconds=_SECONDS, rounds=_ROUNDS,
        )  # fmt: skip
        return float(np.median(dense / sparse))

    return race


def _runner(opened: onnxruntime.InferenceSession, x: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: opened.run(None, {"X": x})


def _single_node(match: FusionMatch, coded: CodedWeight, sample: tuple[int, ...]) -> bytes:
    """The fusion match's product alone, for inputs of the shape `sample`, as the bytes of a file."""
    operator = operator_of(match, coded, fused=False)
    bias = np.zeros(outputs_of(match, coded.shape), np.float32)
    arrays = {"places": coded.places, "values": coded.values, "bias": bias}
    if coded.scales is not None:
        arrays["scales"] = coded.scales
    constants = {name: ir.Value(name=name, const_value=ir.tensor(array, name=name)) for name, array in arrays.items()}
    x = ir.Value(name="X", shape=ir.Shape(sample), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node(
        operator.name,
        [x if name == "X" else constants[name] for name in operator.inputs],
        attributes_of(operator.kind, match.nodes[0], coded.shape),
        domain=DOMAIN,
    )
    node.outputs[0].name = "Y"
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    imports = {"": OPSET, DOMAIN: VERSION}
    graph = ir.Graph(
        [x], node.outputs, nodes=[node], initializers=list(constants.values()), opset_imports=imports, name="layer"
    )
    model = ir.Model(graph, ir_version=IR_VERSION, functions=[function(operator)])
    encoded: bytes = ir.to_proto(model).SerializeToString()
    return encoded
