"""What every ONNX file has to satisfy before anything else reads it, a session of ONNX Runtime included.

A tensor holds as many bytes as its type and shape say. External data lies in plain files below the model's folder: it
is the one thing in an ONNX file that makes a reader open other files (CVE-2022-25882, CVE-2024-27318, CVE-2025-51480).
Functions, which a few bytes can nest to any size, and declared inputs stay below bounds. A convolution's input has as
many dimensions as its weight: where it has not, the shape inference of onnx 1.21, which many versions of ONNX Runtime
hold, reads beyond an array and ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, prod
from pathlib import Path
from typing import TypeVar

import onnx
import onnx_ir as ir
from onnx import helper
from onnx.external_data_helper import ExternalDataInfo

from n2nsurgery.core.errors import VerificationError

MAX_NODES = 1_000_000
"""Nodes of a model after its functions are put in place of their calls."""

MAX_DEPTH = 64
"""Functions inside each other."""

MAX_INPUT = 2**31 - 1
"""Values of one input whose sizes are all declared."""

_CONVOLUTIONS = {"Conv": (0, 1), "ConvTranspose": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
"""Where a convolution has its input and its weight."""

_PARTS: dict[int, int] = {onnx.TensorProto.COMPLEX64: 2, onnx.TensorProto.COMPLEX128: 2}
_BYTE = 8

Owner = onnx.GraphProto | onnx.FunctionProto
OwnerT = TypeVar("OwnerT", bound=Owner)


def require_sound(model: onnx.ModelProto, path: Path) -> None:
    """Raise VerificationError, naming the tensor, input or function, where `model` from `path` breaks a rule above.

    `require_ranks` is for that of convolutions.
    """
    for tensor in tensors_in(model):
        stored = _external_bytes(tensor, path) if _is_external(tensor) else None
        _require_size(tensor, stored, path)
    for value in model.graph.input:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim if dim.HasField("dim_value")]
        if any(size < 0 for size in sizes) or prod(sizes) > MAX_INPUT:
            raise VerificationError(
                f"input '{value.name}' of '{path}' declares sizes {sizes}; at most {MAX_INPUT} values are read"
            )
    _require_small(model, path)


def tensors_in(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model, at any depth."""
    training = (graph for info in model.training_info for graph in (info.initialization, info.algorithm))
    for owner in owners(model.graph, *model.functions, *training):
        if isinstance(owner, onnx.GraphProto):
            yield from owner.initializer
            yield from (part for sparse in owner.sparse_initializer for part in _parts(sparse))
        for attribute in (attribute for node in owner.node for attribute in node.attribute):
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors
            sparse_tensors = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            yield from (part for s in (*sparse_tensors, *attribute.sparse_tensors) for part in _parts(s))


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model, at any depth, whose data lies in another file."""
    return (tensor for tensor in tensors_in(model) if _is_external(tensor))


def owners(*roots: OwnerT) -> Iterator[OwnerT | onnx.GraphProto]:
    """Graphs and functions, with the graphs inside of their nodes."""
    pending: list[OwnerT | onnx.GraphProto] = list(roots)
    while pending:
        owner = pending.pop()
        yield owner
        for attribute in (attribute for node in owner.node for attribute in node.attribute):
            pending += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _parts(sparse: onnx.SparseTensorProto) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    return sparse.values, sparse.indices


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


# -- tensors ------------------------------------------------------------------------------------------------------


def _require_size(tensor: onnx.TensorProto, external: int | None, path: Path) -> None:
    """Raise VerificationError unless the tensor holds what its type and shape need; `external`: bytes elsewhere."""
    place = f"tensor '{tensor.name}' in '{path}'"
    if tensor.data_type not in helper.get_all_tensor_dtypes():
        raise VerificationError(f"{place} has the data type {tensor.data_type}, which ONNX does not know")
    if any(size < 0 for size in tensor.dims):
        raise VerificationError(f"{place} has the shape {list(tensor.dims)}; sizes are 0 or more")
    numel, kind = prod(tensor.dims), ir.DataType(tensor.data_type)
    if kind == ir.DataType.STRING:
        found, needed, unit = len(tensor.string_data), numel, "strings"
    elif external is not None or tensor.HasField("raw_data"):
        found = external if external is not None else len(tensor.raw_data)
        needed, unit = ceil(numel * kind.bitwidth / _BYTE), "bytes"
    else:
        per_entry = max(1, _BYTE // kind.bitwidth)  # integers of 4 and 2 bits share a byte
        found = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))
        needed, unit = ceil(numel / per_entry) * _PARTS.get(tensor.data_type, 1), "values"
    to_the_end = external is not None and not any(entry.key == "length" for entry in tensor.external_data)
    if found < needed or (found > needed and not to_the_end):
        raise VerificationError(
            f"{place} holds {found} {unit}; {list(tensor.dims)} of {kind} need {needed}: the file is damaged"
        )


def _external_bytes(tensor: onnx.TensorProto, model_path: Path) -> int:
    """Bytes of the tensor's data; VerificationError unless they lie inside a plain file below the model's folder."""
    try:
        info = ExternalDataInfo(tensor)
        offset, length = int(info.offset or 0), int(info.length or 0)
    except (ValueError, TypeError) as error:
        raise VerificationError(f"tensor '{tensor.name}' in '{model_path}': {error}") from error
    place = f"external data '{info.location}' of tensor '{tensor.name}' in '{model_path}'"
    folder = model_path.parent.resolve()
    if not info.location or "\0" in info.location:
        raise VerificationError(f"{place} is not a path")
    target = folder / info.location
    if Path(info.location).is_absolute() or not target.resolve().is_relative_to(folder):
        raise VerificationError(f"{place} leaves the model's folder; such files are not read")
    if target.is_symlink() or not target.is_file():
        raise VerificationError(f"{place} is not a plain file")
    size = target.stat().st_size
    if offset < 0 or length < 0 or offset + length > size:
        raise VerificationError(f"{place} ends at byte {offset + length}; the file has {size}")
    return length or size - offset


# -- nodes --------------------------------------------------------------------------------------------------------


def require_ranks(graph: onnx.GraphProto, path: Path) -> None:
    """Raise VerificationError where a convolution's input is declared with other dimensions than its weight has."""
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info):
        if value.type.tensor_type.HasField("shape"):
            ranks.setdefault(value.name, len(value.type.tensor_type.shape.dim))
    for node in (node for node in graph.node if node.op_type in _CONVOLUTIONS):
        data, weight = (node.input[at] if at < len(node.input) else "" for at in _CONVOLUTIONS[node.op_type])
        if data in ranks and weight in ranks and ranks[data] != ranks[weight]:
            raise VerificationError(
                f"{node.op_type} in '{path}' reads '{data}' of {ranks[data]} dimensions with the weight '{weight}' of"
                f" {ranks[weight]}; they must be equal"
            )


# -- functions ----------------------------------------------------------------------------------------------------


def _require_small(model: onnx.ModelProto, path: Path) -> None:
    """Raise VerificationError where functions call themselves, are nested too deeply, or make too large a graph."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}
    if (count := _expanded(model.graph, functions, sizes, (), path)) > MAX_NODES:
        raise VerificationError(f"'{path}' has {count:,} nodes when its functions are expanded; {MAX_NODES:,} are read")


def _expanded(
    owner: Owner,
    functions: Mapping[tuple[str, str, str], onnx.FunctionProto],
    sizes: dict[tuple[str, str, str], int],
    inside: tuple[tuple[str, str, str], ...],
    path: Path,
) -> int:
    """Nodes of `owner` with every call replaced by its function, whose `sizes` are noted; `inside`: of which it is."""
    if len(inside) > MAX_DEPTH:
        raise VerificationError(f"'{path}' nests more than {MAX_DEPTH} functions, down to '{inside[-1][1]}'")
    total = 0
    for node in (node for part in owners(owner) for node in part.node):
        called = (node.domain, node.op_type, node.overload)
        if called in inside:
            raise VerificationError(f"function '{node.op_type}' of '{path}' calls itself")
        if called in functions and called not in sizes:
            sizes[called] = _expanded(functions[called], functions, sizes, (*inside, called), path)
        total += sizes.get(called, 1)
    return total
