"""The form of a graph in which weights are found: initializers of the main graph, read by the layer itself.

Exporters also keep weights in Constant nodes, in branches, behind an Identity or a Transpose, or in functions.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    RemoveInitializersFromInputsPass,
    ShapeInferencePass,
)
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules.common import (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)

_INITIALIZERS_ALONE = 4
"""IR version from which initializers need not be inputs; before, every constant was one."""

_MATRIX = 2

_BATCH_NORMALIZATIONS = (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)
"""A factor for each output, so that zeros stay zeros. ONNX Runtime does the same, but not behind our operators."""


def normalize(model: ir.Model, ir_version: int) -> None:
    """Bring `model`, a file of `ir_version`, into this form in place.

    It computes the same, up to the rounding of batch normalizations that are multiplied into the layer before them.
    """
    if ir_version < _INITIALIZERS_ALONE:
        RemoveInitializersFromInputsPass()(model)
    InlinePass()(model)
    LiftConstantsToInitializersPass(lift_all_constants=False)(model)
    LiftSubgraphInitializersToMainGraphPass()(model)
    IdentityEliminationPass()(model)
    _fold_moved_weights(model.graph)
    rewrite(model, pattern_rewrite_rules=_BATCH_NORMALIZATIONS)
    _flatten_biases(model.graph)
    _infer_shapes(model)


def _fold_moved_weights(graph: ir.Graph) -> None:
    """A weight that only a Transpose reads becomes an initializer as the Transpose gives it.

    A weight with other readers stays: a second copy would take more room than coding saves.
    """
    for node in tuple(graph):
        source = node.inputs[0] if node.op_type == "Transpose" and not node.domain else None
        if source is None or source.const_value is None or source.is_graph_input() or len(source.uses()) != 1:
            continue
        if len(source.const_value.shape) < _MATRIX or node.outputs[0].is_graph_output():
            continue
        array = source.const_value.numpy()
        turned = np.ascontiguousarray(np.transpose(array, node.attributes.get_ints("perm", range(array.ndim)[::-1])))
        tensor = ir.tensor(turned, dtype=source.const_value.dtype, name=source.name)
        value = ir.Value(
            name=source.name, const_value=tensor, shape=ir.Shape(turned.shape), type=ir.TensorType(tensor.dtype)
        )
        node.outputs[0].replace_all_uses_with(value)
        graph.remove(node, safe=True)
        graph.initializers.pop(str(source.name))
        graph.register_initializer(value)


def _flatten_biases(graph: ir.Graph) -> None:
    """A Gemm's bias of shape (1, O), which it adds to every row, becomes one of shape (O,)."""
    for node in graph:
        bias = node.inputs[2] if node.op_type == "Gemm" and not node.domain and len(node.inputs) > 2 else None  # noqa: PLR2004
        if bias is None or bias.const_value is None or bias.is_graph_input() or len(bias.uses()) != 1:
            continue
        if len(bias.const_value.shape) == _MATRIX and bias.const_value.shape[0] == 1:
            array = bias.const_value.numpy().reshape(-1)
            bias.const_value = ir.tensor(array, name=bias.name)
            bias.shape = ir.Shape(array.shape)


def _infer_shapes(model: ir.Model) -> None:
    """Shapes of all values, where they can be known; an open size has a name, so that equal ones can be told."""
    given = [(value, value.shape) for value in model.graph.inputs if value.shape is not None]
    for value, shape in given:
        value.shape = ir.Shape([
            f"{value.name}.{axis}" if isinstance(size, ir.SymbolicDim) and size.value is None else size
            for axis, size in enumerate(shape)
        ])  # fmt: skip
    ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    for value, shape in given:
        value.shape = shape
