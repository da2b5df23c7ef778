"""The form of a graph in which weights are found: initializers of the main graph, read by the layer itself.

Exporters also keep weights in Constant nodes, in branches, behind an Identity or a Transpose, or in functions.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import (
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

from n2nsurgery.export.capture.capture import TRANSPOSED
from n2nsurgery.export.sparse.portable import CODE_PARTS

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
    model.graph.name = model.graph.name or "graph"
    model.graph.sort()  # ONNX Runtime takes nodes in any order, ONNX's checker does not
    if ir_version < _INITIALIZERS_ALONE:
        RemoveInitializersFromInputsPass()(model)
    InlinePass()(model)
    LiftConstantsToInitializersPass(lift_all_constants=False)(model)
    LiftSubgraphInitializersToMainGraphPass()(model)
    _leave_out_identities(model.graph)
    _fold_moved_weights(model.graph)
    rewrite(model, pattern_rewrite_rules=_BATCH_NORMALIZATIONS)
    _flatten_biases(model.graph)
    _free_names(model.graph)
    _infer_shapes(model)


def _leave_out_identities(graph: ir.Graph) -> None:
    """Who reads an Identity reads its source, but for results of the model and of branches and loop bodies.

    These have to be computed where they are returned: a branch may not return what a graph around it computes.
    """
    for node in tuple(ir.traversal.RecursiveGraphIterator(graph)):
        source = node.inputs[0] if node.op_type == "Identity" and not node.domain else None
        if source is not None and node.graph is not None and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(source)
            node.graph.remove(node, safe=True)


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


def _free_names(graph: ir.Graph) -> None:
    """Give weights other names where coding could not append to theirs, or where it ends as that of a turned weight."""
    taken = {value.name for node in ir.traversal.RecursiveGraphIterator(graph) for value in node.outputs}
    for part in (graph, *graph.subgraphs()):
        taken |= {value.name for value in (*part.inputs, *part.initializers.values())}
    for weight in tuple(graph.initializers.values()):
        name = str(weight.name)
        if weight.is_graph_input() or weight.is_graph_output() or not _is_taken(name, taken):
            continue
        while name in taken or _is_taken(name, taken):
            name += "_"
        weight.name = name
        taken.add(name)


def _is_taken(name: str, taken: Collection[str | None]) -> bool:
    return name.endswith(TRANSPOSED) or any(f"{name}.{part}" in taken for part in CODE_PARTS)


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
