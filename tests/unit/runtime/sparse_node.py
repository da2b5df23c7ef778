"""One-node models over a coded weight, as the exporter writes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.codec.coded import encode
from n2nsurgery.export.codec.values import StoredValues
from n2nsurgery.export.sparse.operators import DOMAIN, VERSION


def coded(weight: NDArray[np.generic], code: Code = "gaps8") -> dict[str, NDArray[np.generic]]:
    """The constants `places` and `values` of a weight."""
    tensors = encode(StoredValues(array=weight), code)
    return {"places": tensors.places, "values": tensors.values}


@dataclass(frozen=True, kw_only=True)
class Node:
    """One sparse node: its operator, attributes, and the constant inputs behind X, by name, in order."""

    op: str
    attributes: dict[str, object] = field(default_factory=dict)
    constants: dict[str, NDArray[np.generic]]
    input_rank: int
    residual: bool = False

    def model(self) -> bytes:
        """A serialised model with inputs x (and residual), output y; all extents dynamic."""
        names = ["x", *self.constants, *(["residual"] if self.residual else [])]
        node = helper.make_node(self.op, names, ["y"], domain=DOMAIN, **self.attributes)
        inputs = [self._value("x"), *([self._value("residual")] if self.residual else [])]
        initializers = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph([node], "one_node", inputs, [self._value("y")], initializers)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return model.SerializeToString()

    def _value(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}{i}" for i in range(self.input_rank)])
