"""The weights of a file, read back from its tensors by the records in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from n2nsurgery.core.errors import InvalidFileError, VerificationError
from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.codec.packed import PackedFloats, unpack
from n2nsurgery.export.sparse.unpacking import PACKED_TENSORS
from n2nsurgery.export.sparse.weight_record import WeightRecord

Tensors = Mapping[str, onnx.TensorProto]


def records_of(document: Mapping[str, Any]) -> tuple[WeightRecord, ...]:
    """The weight records in a file's metadata; InvalidFileError where there are none or one is damaged."""
    deployment = document.get("deployment")
    weights = deployment.get("weights") if isinstance(deployment, dict) else None
    if not isinstance(weights, list):
        raise InvalidFileError("the metadata lists no weights; export the model again with this version")
    return tuple(WeightRecord.from_json(weight) for weight in weights)


def tensors_of(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The initializers of the main graph by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def kept_count(record: WeightRecord, tensors: Tensors) -> int:
    """Weights that are not zero, counted in the tensors; VerificationError for more than there are places."""
    array = _array(tensors, record.initializer) if record.code == "dense" else _values(record, tensors)
    kept = int(np.count_nonzero(array))
    if kept > record.numel:
        raise VerificationError(f"'{record.name}' holds {kept} weights; the metadata says it has {record.numel} places")
    return kept


def stored_bytes(record: WeightRecord, tensors: Tensors) -> int:
    """Bytes of the tensors that hold the weight."""
    return sum(_array(tensors, name).nbytes for name in tensor_names(record))


def tensor_names(record: WeightRecord) -> Iterable[str]:
    """The tensors that hold the weight."""
    if record.code == "dense":
        return (record.initializer,)
    scales = (f"{record.name}.scales",) if record.scaled else ()
    values = (f"{record.name}.{part}" for part in (PACKED_TENSORS if record.packed else ("values",)))
    return (record.places, *values, *scales)


def weight(record: WeightRecord, tensors: Tensors) -> NDArray[Any]:
    """The parameter as torch knows it (its own type and orientation); VerificationError where the code is none."""
    array = _array(tensors, record.initializer) if record.code == "dense" else _decoded(record, tensors)
    if array.shape != record.shape:
        raise VerificationError(f"'{record.name}' has shape {array.shape}; the metadata says {record.shape}")
    return array.T if record.transposed else array


def _decoded(record: WeightRecord, tensors: Tensors) -> NDArray[np.float32]:
    coded = CodedWeight(
        shape=record.shape,
        code=record.code,
        places=_array(tensors, record.places),
        values=_values(record, tensors),
        scales=_array(tensors, f"{record.name}.scales") if record.scaled else None,
        type=np.dtype(record.type),
    )
    try:
        return coded.decoded()
    except InvalidFileError as error:
        raise VerificationError(f"the code of '{record.name}' is damaged: {error}") from error


def _values(record: WeightRecord, tensors: Tensors) -> NDArray[Any]:
    """The values of a coded weight; VerificationError where their packed form is none."""
    if not record.packed:
        return _array(tensors, f"{record.name}.values")
    parts = {part: _array(tensors, f"{record.name}.{part}") for part in PACKED_TENSORS}
    try:
        return unpack(PackedFloats(**parts))
    except InvalidFileError as error:
        raise VerificationError(f"the values of '{record.name}' are damaged: {error}") from error


def _array(tensors: Tensors, name: str) -> NDArray[Any]:
    if name not in tensors:
        raise VerificationError(f"the file has no tensor '{name}', which its metadata names")
    array: NDArray[Any] = numpy_helper.to_array(tensors[name])
    return array
