"""Small weights set to zero: the one change of a network that compression makes, and only where it is asked to."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_MATRIX = 2


def zero_below(graph: ir.Graph, threshold: float) -> None:
    """Set the entries of float32 layers' weights with an absolute value below `threshold` to zero, in place."""
    for initializer in graph.initializers.values():
        tensor = initializer.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) < _MATRIX:
            continue
        if any(node.op_type in _LAYERS and not node.domain for node, _ in initializer.uses()):
            array = tensor.numpy()
            kept = np.where(np.abs(array) < threshold, np.float32(0), array)
            initializer.const_value = ir.tensor(kept, name=initializer.name)
