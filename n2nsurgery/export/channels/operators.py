"""What ONNX's operators do to channels, and the steps they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx

from n2nsurgery.export.channels.constants import Array, attribute, evaluated
from n2nsurgery.export.channels.recording import Recording
from n2nsurgery.graph.channels.labels import Labels, joined
from n2nsurgery.graph.channels.steps import MatMul, Move, Pointwise, Reduce
from n2nsurgery.graph.weight_layout import WeightLayout

SUMS = frozenset({"Add", "Sub", "Sum"})
POINTWISE = frozenset({
    "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Erf",
    "Sin", "Cos", "Tan", "Atan", "Max", "Min", "Mean", "Clip", "Where", "And", "Or", "Not", "Xor", "Equal", "Less",
    "LessOrEqual", "Greater", "GreaterOrEqual", "Mod", "IsNaN", "IsInf", "Trilu", "CumSum", "Identity", "Cast",
    "CastLike", "Dropout", "Relu", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Gelu", "Mish", "HardSwish",
    "HardSigmoid", "Sigmoid", "Tanh", "Softplus", "Softsign", "Shrink", "ThresholdedRelu", "Swish", "Softmax",
    "LogSoftmax", "LpNormalization", "LRN", "MeanVarianceNormalization", "BatchNormalization", "InstanceNormalization",
    "GroupNormalization", "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "QuantizeLinear",
    "DequantizeLinear", "BitShift", "BitwiseAnd", "BitwiseOr", "Sinh", "Cosh", "Hardmax",
})  # fmt: skip
MOVES = frozenset({
    "Reshape", "Transpose", "Flatten", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Squeeze", "Unsqueeze",
    "Expand", "Pad", "Tile", "DepthToSpace", "SpaceToDepth", "ScatterND", "ScatterElements", "ReverseSequence",
})  # fmt: skip
REDUCTIONS = frozenset({
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
})  # fmt: skip
POOLS = frozenset({
    "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "AveragePool", "MaxPool", "LpPool", "Resize", "Upsample",
    "GridSample",
})  # fmt: skip
_MATRIX = 2

Recorder = Callable[[Recording, onnx.NodeProto], bool]


def _pointwise(graph: Recording, node: onnx.NodeProto) -> bool:
    reads = tuple(dict.fromkeys(graph.reads(node)))
    if node.op_type in {"CastLike", "Clip", "BatchNormalization"}:
        reads = reads[:1]
    how = "sum" if node.op_type in SUMS else "product"
    scale = _scale(graph, node) if node.op_type == "BatchNormalization" else None
    return graph.add(Pointwise, node, reads, how=how, scale=scale, outputs=1)


def _scale(graph: Recording, node: onnx.NodeProto) -> Array | None:
    gamma, variance = node.input[1], node.input[4]
    if gamma not in graph.constants or variance not in graph.constants:
        return None
    spread = graph.constants[variance].astype(np.float64) + attribute(node, "epsilon", 1e-5)
    factors: Array = np.abs(graph.constants[gamma].astype(np.float64)) / np.sqrt(spread)
    return factors


def _move(graph: Recording, node: onnx.NodeProto) -> bool:
    """ONNX's reference implementation moves the labels; of what a Pad or Scatter brings in, none is a channel's."""
    indices = {"ScatterND": (0, 2), "ScatterElements": (0, 2)}.get(node.op_type, (0,))
    if any(name in graph.values for i, name in enumerate(node.input) if i not in indices):
        return False
    constants: list[Array | None] = []
    for index, name in enumerate(node.input):
        if not name or name in graph.values or (node.op_type == "Pad" and index == 2):  # noqa: PLR2004 - the value
            constants.append(None)
        else:
            array = graph.constants[name]
            constants.append(np.zeros(array.shape, np.int64) if index in indices else array)
    places = [index for index, name in enumerate(node.input) if name in graph.values]
    return graph.add(Move, node, graph.reads(node), apply=partial(_moved, node, constants, places, graph.opsets))


def _moved(
    node: onnx.NodeProto,
    constants: Sequence[Array | None],
    places: Sequence[int],
    opsets: Sequence[onnx.OperatorSetIdProto],
    given: Sequence[Labels],
) -> list[Labels]:
    arguments = list(constants)
    for place, labels in zip(places, given, strict=True):
        arguments[place] = labels
    if node.op_type == "Transpose":  # the reference would copy what is only a view
        order = attribute(node, "perm", tuple(reversed(range(given[0].ndim))))
        return [given[0].transpose(tuple(order))]
    return [np.asarray(result, np.int64) for result in evaluated(node, arguments, opsets)]


def _concat(graph: Recording, node: onnx.NodeProto) -> bool:
    sizes = [None if name in graph.values else graph.constants[name].shape for name in node.input]
    return graph.add(Move, node, graph.reads(node), apply=partial(_joined, sizes, attribute(node, "axis", 0)))


def _joined(sizes: Sequence[tuple[int, ...] | None], axis: int, given: Sequence[Labels]) -> list[Labels]:
    moving = iter(given)
    arrays = [next(moving) if size is None else np.broadcast_to(np.int64(0), size) for size in sizes]
    return [joined(arrays, axis)]


def _reduction(graph: Recording, node: onnx.NodeProto) -> bool:
    rank = len(graph.shape(node.input[0]))
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        if node.input[1] not in graph.constants:
            return False
        axes = graph.constants[node.input[1]].tolist()
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return graph.add(Pointwise, node, graph.reads(node))
        axes = range(rank)
    keep = bool(attribute(node, "keepdims", 1))
    return graph.add(Reduce, node, graph.reads(node), axes=tuple(axis % rank for axis in axes), keepdims=keep)


def _pool(graph: Recording, node: onnx.NodeProto) -> bool:
    rank = len(graph.shape(node.input[0]))
    return graph.add(Reduce, node, graph.reads(node)[:1], axes=tuple(range(2, rank)), keepdims=True, outputs=1)


def _convolution(graph: Recording, node: onnx.NodeProto) -> bool:
    weight = node.input[1]
    if node.input[0] not in graph.values or weight not in graph.constants:
        return False
    layout: WeightLayout = "conv_transpose" if node.op_type == "ConvTranspose" else "conv"
    array = graph.constants[weight]
    return graph.add_layer(
        node, weight, array, layout=layout, groups=int(attribute(node, "group", 1)),
        axis=1 - array.ndim,
    )  # fmt: skip


def _gemm(graph: Recording, node: onnx.NodeProto) -> bool:
    weight = node.input[1]
    fits = node.input[0] in graph.values and weight in graph.constants and not attribute(node, "transA", 0)
    if not fits or (len(node.input) > _MATRIX and node.input[2] in graph.values):
        return False
    array = graph.constants[weight]
    array = array if attribute(node, "transB", 0) else array.T
    alpha = attribute(node, "alpha", 1.0)
    array = array if alpha == 1 else array * np.float32(alpha)
    return graph.add_layer(node, weight, array, layout="linear", groups=1, axis=-1)


def _matmul(graph: Recording, node: onnx.NodeProto) -> bool:
    left, right = node.input
    if left in graph.values and right in graph.values:
        fits = min(len(graph.shape(left)), len(graph.shape(right))) >= _MATRIX
        return fits and graph.add(MatMul, node, graph.reads(node))
    if right in graph.values:  # it mixes the rows, and keeps what lies along the last axis
        fits = graph.constants[left].ndim == _MATRIX and len(graph.shape(right)) >= _MATRIX
        return fits and graph.add(Reduce, node, graph.reads(node), axes=(-2,), keepdims=True)
    array = graph.constants[right]
    if array.ndim != _MATRIX:
        return False
    return graph.add_layer(node, right, array.T, layout="linear", groups=1, axis=-1)


def _embedding_or_move(graph: Recording, node: onnx.NodeProto) -> bool:
    """Gather with known indices moves; from a known table every entry of a row depends on the index."""
    if node.input[0] in graph.values or attribute(node, "axis", 0) != 0:
        return _move(graph, node)
    shape = (*graph.shape(node.input[1]), *graph.constants[node.input[0]].shape[1:])
    return graph.add(Move, node, graph.reads(node), apply=partial(_repeated, shape))


def _repeated(shape: tuple[int, ...], given: Sequence[Labels]) -> list[Labels]:
    rows = given[0].reshape(*given[0].shape, *(1,) * (len(shape) - given[0].ndim))
    return [np.broadcast_to(rows, shape)]


RECORDERS: dict[str, Recorder] = {
    **dict.fromkeys(SUMS | POINTWISE, _pointwise),
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(POOLS, _pool),
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
    "Gather": _embedding_or_move,
}
