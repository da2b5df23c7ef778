"""Reading .onnx files of unknown origin: bounded, and never outside the file's own folder.

External data is the one thing in an ONNX file that makes a reader open other files (CVE-2022-25882, CVE-2024-27318,
CVE-2025-51480): its paths are checked before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # protobuf ships no types
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model

from n2nsurgery.core.errors import VerificationError

MAX_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""


def load_model(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """The model in `path`, with its external data loaded where `weights` is set.

    Raises VerificationError for a missing file, for one that is no ONNX model, and for external data that is
    missing, too short or outside the model's folder.
    """
    model = _parsed(path)
    for tensor in external_tensors(model):
        _require_contained(tensor, path)
    if weights:
        load_external_data_for_model(model, str(path.parent))
    return model


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise VerificationError(f"'{path}' is not a file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise VerificationError(f"'{path}' holds {size} bytes; an ONNX file has at most {MAX_BYTES}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise VerificationError(f"'{path}' is not an ONNX file, or is damaged ({error})") from error
    if not (model.ir_version and model.opset_import and model.graph.output):
        raise VerificationError(f"'{path}' is not an ONNX file: it has no graph, operator set or format version")
    return model


def source_size(path: Path) -> int:
    """Bytes of a model and of the files that hold its external data."""
    model = load_model(path, weights=False)
    names = {str(ExternalDataInfo(tensor).location) for tensor in external_tensors(model)}
    return sum(file.stat().st_size for file in (path, *(path.parent / name for name in names)))


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model, at any depth, whose data lies in another file."""
    pending: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while pending:
        owner = pending.pop()
        tensors = [] if isinstance(owner, onnx.FunctionProto) else _held_by(owner)
        for attribute in (attribute for node in owner.node for attribute in node.attribute):
            tensors += [attribute.t, *attribute.tensors]
            tensors += [part for s in (attribute.sparse_tensor, *attribute.sparse_tensors) for part in _parts(s)]
            pending += [attribute.g, *attribute.graphs]
        yield from (tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL)


def _held_by(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    return [*graph.initializer, *(part for sparse in graph.sparse_initializer for part in _parts(sparse))]


def _parts(sparse: onnx.SparseTensorProto) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    return sparse.values, sparse.indices


def _require_contained(tensor: onnx.TensorProto, model_path: Path) -> None:
    """Raises VerificationError unless the tensor's data lies inside a plain file below the model's folder."""
    try:
        info = ExternalDataInfo(tensor)
    except (ValueError, TypeError) as error:
        raise VerificationError(f"tensor '{tensor.name}' in '{model_path}': {error}") from error
    place = f"external data '{info.location}' of tensor '{tensor.name}' in '{model_path}'"
    folder = model_path.parent.resolve()
    target = folder / info.location
    if not info.location or Path(info.location).is_absolute() or not target.resolve().is_relative_to(folder):
        raise VerificationError(f"{place} leaves the model's folder; such files are not read")
    if target.is_symlink() or not target.is_file():
        raise VerificationError(f"{place} is not a plain file")
    offset, length = int(info.offset or 0), int(info.length or 0)
    if offset < 0 or length < 0 or offset + length > target.stat().st_size:
        raise VerificationError(f"{place} ends at byte {offset + length}; the file has {target.stat().st_size}")
