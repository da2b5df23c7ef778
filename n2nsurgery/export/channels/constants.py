"""Constants: every tensor of a graph that depends on no input, computed when its node comes by.

ONNX's own reference implementation computes them; it is slow only where it scatters element by element, which is how
coded weights are decoded, and that one case is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.capture.capture import TRANSPOSED
from n2nsurgery.export.files.load import STANDARD_DOMAINS

Array = NDArray[Any]

_VALUES = (".values", ".significands")
"""Suffixes of the tensor that holds the kept values of a coded weight, as they are or packed."""


class Constants:
    """Constant tensors by name; `parameter` tells which parameter of the network one comes from."""

    def __init__(self, tensors: Iterable[onnx.TensorProto], opsets: Sequence[onnx.OperatorSetIdProto]) -> None:
        self._stored = {tensor.name: tensor for tensor in tensors}
        self._arrays: dict[str, Array] = {}
        self._origins = {name: name for name in self._stored}
        self._opsets = list(opsets)

    def __contains__(self, name: str) -> bool:
        return name in self._stored or name in self._arrays

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self._stored[name])
        return self._arrays[name]

    def set(self, name: str, array: Array) -> None:
        """A constant that is known without computing."""
        self._arrays[name] = array

    def parameter(self, name: str) -> str:
        """The name of the parameter that a constant is, or was computed from; its own where there is none."""
        origin = self._origins.get(name, name).removesuffix(TRANSPOSED)
        return origin.rpartition(".")[0] if origin.endswith(_VALUES) else origin

    def coded(self, name: str) -> bool:
        """Whether a constant was decoded from kept values and their places."""
        return self._origins.get(name, name).endswith(_VALUES)

    def compute(self, node: onnx.NodeProto) -> None:
        """Compute the outputs of `node`, whose inputs are constants; VerificationError where that fails."""
        given = [self[name] if name else None for name in node.input]
        try:
            results = _scattered(node, given) or evaluated(node, given, self._opsets)
        except Exception as error:
            raise VerificationError(
                f"{describe(node)} cannot be computed from the file's constants: {error}"
            ) from error
        origins = [self._origins[name] for name in node.input if name in self._origins]
        for name, array in zip(node.output, results, strict=False):
            if name:
                self._arrays[name] = np.asarray(array)
                if origins:
                    self._origins[name] = max(origins, key=self._rank)

    def _rank(self, origin: str) -> tuple[bool, int]:
        """Kept values name a weight, else the largest of the tensors that it was computed from."""
        return origin.endswith(_VALUES), int(np.prod(self._stored[origin].dims))


def evaluated(
    node: onnx.NodeProto, given: Sequence[Array | None], opsets: Sequence[onnx.OperatorSetIdProto]
) -> list[Array]:
    """What ONNX's reference implementation of `node` returns."""
    names = [f"input_{index}" for index in range(len(given))]
    inputs = [name if array is not None else "" for name, array in zip(names, given, strict=True)]
    outputs = [f"output_{index}" for index in range(len(node.output))]
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    del alone.input[:], alone.output[:]
    alone.input.extend(inputs)
    alone.output.extend(outputs)
    used = [name for name in inputs if name]
    function = helper.make_function("n2nsurgery.local", "step", used, outputs, [alone], list(opsets))
    fed = {name: array for name, array in zip(names, given, strict=True) if array is not None}
    return [np.asarray(result) for result in ReferenceEvaluator(function).run(None, fed, attributes={})]


def describe(node: onnx.NodeProto) -> str:
    """The node for messages."""
    domain = f"{node.domain}." if node.domain not in STANDARD_DOMAINS else ""
    return f"{domain}{node.op_type} '{node.name or node.output[0]}'"


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any attribute
    """The attribute's value, or `default`."""
    found = next((given for given in node.attribute if given.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def _scattered(node: onnx.NodeProto, given: Sequence[Array | None]) -> list[Array] | None:
    """ScatterElements into a vector, which the reference does one by one; None for every other node."""
    if node.op_type != "ScatterElements" or attribute(node, "reduction", b"none") not in {b"none", b"None"}:
        return None
    data, indices, updates = given[:3]
    if data is None or indices is None or updates is None or data.ndim != 1:
        return None
    result = data.copy()
    result[indices] = updates
    return [result]
