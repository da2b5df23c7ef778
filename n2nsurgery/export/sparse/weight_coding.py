"""WeightCoding: what becomes of each stored weight of a graph, decided before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from n2nsurgery.core.errors import InternalError
from n2nsurgery.export.capture.capture import TRANSPOSED
from n2nsurgery.export.codec.choose import choose
from n2nsurgery.export.codec.coded import CodedWeight, encode
from n2nsurgery.export.codec.values import AS_THEY_ARE, BYTES, FLOAT, LARGEST_INT8, store, unfit
from n2nsurgery.export.config import Values
from n2nsurgery.export.sparse.fusion_matches import WEIGHT_INPUT, FusionMatch, match_at
from n2nsurgery.export.sparse.weight_record import MAX_NUMEL, WeightRecord
from n2nsurgery.export.sparse.where_sparse_pays import (
    KernelChoice,
    LayerShape,
    measured_verdict,
    obstacle,
    predict,
    shares_positions,
)

MIN_PLACES = 1024
"""Smaller weights stay as they are: a node and a tensor more cost what coding gains, in bytes and in time."""

_MUCH_WORK = 1_000_000
"""Multiply-adds of an image, zeros included, from which on a smaller weight of a convolution gains time."""

_MATRIX = 2
_TYPES = frozenset({
    ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.INT8,
    ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4,
})  # fmt: skip
"""Tensors of these types with two or more dimensions are weights."""


_QUANTIZING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
"""Operators that round activations to levels; the last two are ONNX Runtime's own."""

Race = Callable[[FusionMatch, CodedWeight], float | None]
"""How many times as fast as the dense kernel the sparse one is at a fusion match.

None where that cannot be measured.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightCoding:
    """One initializer: its record, its code (None: it stays as it is), and the fusion matches of our operators.

    `is_transposed`: the code holds the transposed initializer. Without fusion matches a coded weight is decoded before
    its consumers.
    """

    initializer: ir.Value
    record: WeightRecord
    coded: CodedWeight | None
    is_transposed: bool
    matches: tuple[FusionMatch, ...] = ()


def codings(
    graph: ir.Graph,
    values: Values | None,
    race: Race | None = None,
    *,
    largest: int = LARGEST_INT8,
    packed: bool = False,
) -> Iterator[WeightCoding]:
    """What is to become of every initializer with two or more dimensions, in their order; `values` None: nothing.

    With a `race`, layers that have a sparse kernel are measured, and only the others are predicted. `largest`: as for
    `store`; `packed` as for `encode`.
    """
    weights = [(value, tensor) for value in graph.initializers.values() if (tensor := _weight(value)) is not None]
    network = _Network(
        graph=graph, race=race, largest=largest, packed=packed, size=sum(tensor.nbytes for _, tensor in weights)
    )
    for initializer, tensor in weights:
        if values is None:
            yield _kept_dense(initializer, tensor.numpy(), "the format is dense")
        else:
            yield _coding(network, initializer, values)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Network:
    """What a decision depends on besides the weight; `size`: bytes of all weights, dense."""

    graph: ir.Graph
    race: Race | None
    largest: int
    packed: bool
    size: int

    @cached_property
    def obstacle(self) -> str | None:
        """Why no layer of the network has a sparse kernel; None where nothing stands against them."""
        if any(node.op_type in _QUANTIZING for node in ir.traversal.RecursiveGraphIterator(self.graph)):
            return "the network quantizes activations: another rounding before could change their levels"
        return None


def _weight(initializer: ir.Value) -> ir.TensorProtocol | None:
    tensor = initializer.const_value
    return tensor if tensor is not None and len(tensor.shape) >= _MATRIX and tensor.dtype in _TYPES else None


def _coding(network: _Network, initializer: ir.Value, values: Values) -> WeightCoding:
    tensor = initializer.const_value
    assert tensor is not None
    array = tensor.numpy()
    if reason := _rejection(initializer, array, values):
        return _kept_dense(initializer, array, reason)
    matches, no_match = _matches(network, initializer)
    is_transposed = _bears_transposed_name(initializer) or any(match.transposed for match in matches)
    stored = store(np.ascontiguousarray(array.T if is_transposed else array), values, network.largest)
    value_bytes = BYTES[values] if array.dtype == FLOAT else array.itemsize
    choice = choose(np.flatnonzero(stored.array).astype(np.int64), array.size, value_bytes, array.itemsize)
    if choice.code == "dense":
        return _kept_dense(initializer, array, choice.reason)
    coded = encode(stored, choice.code, packed=network.packed)
    if not np.array_equal(coded.decoded(), stored.restored()):
        raise InternalError(f"the {choice.code} code of '{initializer.name}' does not decode to the weight")
    verdict = (
        _verdict(matches, coded, network.race, network.size - array.nbytes)
        if no_match is None
        else KernelChoice(sparse=False, reason=no_match)
    )
    if array.size < MIN_PLACES and not verdict.sparse:
        return _kept_dense(initializer, array, verdict.reason)
    record = WeightRecord(
        name=_parameter(initializer), initializer=str(initializer.name), shape=coded.shape,
        transposed=is_transposed != _bears_transposed_name(initializer), nnz=coded.nnz, code=coded.code,
        values=values if array.dtype == FLOAT else AS_THEY_ARE[array.dtype.name], type=array.dtype.name,
        computed="sparse" if verdict.sparse else "dense", reason=verdict.reason, bytes=coded.nbytes,
        measured=verdict.measured, packed=coded.packed is not None,
    )  # fmt: skip
    matches = matches if verdict.sparse else ()
    return WeightCoding(
        initializer=initializer, record=record, coded=coded, is_transposed=is_transposed, matches=matches
    )


def _verdict(matches: tuple[FusionMatch, ...], coded: CodedWeight, race: Race | None, beside: int) -> KernelChoice:
    """Sparse where it pays at every fusion match.

    The worst measurement counts, else the first prediction against it.
    """
    layers = [_layer(match, coded, beside) for match in matches]
    if race is not None and not any(map(obstacle, layers)):
        ratios = [race(match, coded) for match in matches]
        known = [ratio for ratio in ratios if ratio is not None]
        if len(known) == len(ratios):
            return measured_verdict(min(known))
    return min(map(predict, layers), key=lambda verdict: verdict.sparse)


def _layer(match: FusionMatch, coded: CodedWeight, beside: int) -> LayerShape:
    attributes, rank = match.nodes[0].attributes, len(coded.shape) - 2
    return LayerShape(
        kind=match.kind,
        shape=coded.shape,
        density=coded.nnz / prod(coded.shape),
        blocks=match.kind != "ConvTranspose" and shares_positions(coded.decoded(), attributes.get_int("group", 1)),
        strides=tuple(attributes.get_ints("strides", [1] * rank)),
        dilations=tuple(attributes.get_ints("dilations", [1] * rank)),
        pads=tuple(attributes.get_ints("pads", [0] * 2 * rank))[:rank],
        groups=attributes.get_int("group", 1),
        rows=prod(match.sample[:-1]) if match.sample else 1,
        beside=beside,
    )


def _kept_dense(initializer: ir.Value, array: NDArray[np.generic], reason: str) -> WeightCoding:
    is_transposed = _bears_transposed_name(initializer)
    record = WeightRecord(
        name=_parameter(initializer), initializer=str(initializer.name), shape=array.shape, transposed=is_transposed,
        nnz=int(np.count_nonzero(array)), code="dense", computed="dense", reason=reason,
        values=AS_THEY_ARE.get(array.dtype.name, "other"), type=array.dtype.name, bytes=array.nbytes,
    )  # fmt: skip
    return WeightCoding(initializer=initializer, record=record, coded=None, is_transposed=False)


def _bears_transposed_name(initializer: ir.Value) -> bool:
    """The initializer holds a parameter transposed, and its name says so.

    Where the parameter itself is there, too, as an embedding that is also the last layer, it is a weight of its own.
    """
    name, graph = str(initializer.name), initializer.graph
    return name.endswith(TRANSPOSED) and not (graph and name.removesuffix(TRANSPOSED) in graph.initializers)


def _parameter(initializer: ir.Value) -> str:
    name = str(initializer.name)
    return name.removesuffix(TRANSPOSED) if _bears_transposed_name(initializer) else name


def _rejection(initializer: ir.Value, array: NDArray[np.generic], values: Values) -> str | None:
    """Why the initializer has to stay as it is, whatever it holds."""
    if array.dtype.name not in AS_THEY_ARE:
        return f"is {array.dtype}; only {', '.join(AS_THEY_ARE)} are coded"
    if initializer.is_graph_input():
        return "is an input of the model, too, for which a caller may give another: store it as an initializer alone"
    if initializer.is_graph_output():
        return "is an output of the model"
    if array.size < MIN_PLACES and not _works_much(initializer, array):
        return f"has fewer than {MIN_PLACES} weights, which are not worth coding"
    if array.size > MAX_NUMEL:
        return f"has {array.size} places; codes count up to {MAX_NUMEL}"
    return unfit(array, values)


def _works_much(initializer: ir.Value, array: NDArray[np.generic]) -> bool:
    """Convolutions alone use the weight, and multiply so often by it that sparse nodes are worth their calls."""
    for node, _ in initializer.uses():
        result = node.outputs[0].shape
        pixels = [] if result is None else [size for size in result[_MATRIX:] if isinstance(size, int)]
        if node.op_type != "Conv" or node.attributes.get_int("group", 1) != 1 or len(pixels) != array.ndim - _MATRIX:
            return False
        if array.size * prod(pixels) < _MUCH_WORK:
            return False
    return True


def _matches(network: _Network, initializer: ir.Value) -> tuple[tuple[FusionMatch, ...], str | None]:
    """A fusion match for every use of the weight, all of one kind; or none, and the reason."""
    if initializer.dtype != ir.DataType.FLOAT:
        return (), f"is {initializer.dtype}; sparse kernels compute with float32"
    if network.obstacle is not None:
        return (), network.obstacle
    found = [_match(network.graph, node, index) for node, index in initializer.uses()]
    matches = tuple(match for match in found if isinstance(match, FusionMatch))
    reasons = [match for match in found if isinstance(match, str)]
    if len({(match.kind, match.transposed) for match in matches}) > 1:
        reasons.append("is used by layers of different kinds")
    if _bears_transposed_name(initializer) and not all(match.transposed for match in matches):
        reasons.append("is stored transposed for a layer that wants it as it is")
    if not found:
        reasons.append("is not used")
    return ((), reasons[0]) if reasons else (matches, None)


def _match(graph: ir.Graph, node: ir.Node, index: int) -> FusionMatch | str:
    if node.graph is not graph:
        return "is used inside a branch or loop"
    return match_at(node) if index == WEIGHT_INPUT else f"is input {index} of {node.op_type}, not its weight"


def rounded(all_codings: Iterable[WeightCoding]) -> None:
    """Gives every coded initializer the values that its code decodes to (float16 or int8 levels)."""
    for coding in all_codings:
        if coding.coded is not None:
            array = coding.coded.decoded()
            array = np.ascontiguousarray(array.T) if coding.is_transposed else array
            coding.initializer.const_value = ir.tensor(array, name=coding.initializer.name)
