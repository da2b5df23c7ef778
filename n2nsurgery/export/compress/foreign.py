"""Reading somebody's ONNX file for compression: any exporter, operator set and place of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import inliner, version_converter

from n2nsurgery.core.errors import UsageError, first_line
from n2nsurgery.core.names import counted
from n2nsurgery.export.capture.capture import IR_VERSION
from n2nsurgery.export.capture.exporter_log import exporter_messages_logged
from n2nsurgery.export.compress.normal_form import normalize
from n2nsurgery.export.files import metadata
from n2nsurgery.export.files.load import MAX_BYTES, STANDARD_DOMAINS, load_model, opset_of
from n2nsurgery.export.files.sound import owners
from n2nsurgery.export.sparse.functions import LEAST_OPSET
from n2nsurgery.export.sparse.operators import DOMAIN

_RESIZE_WITH_MODES = 11
"""Operator set from which Resize says how pixels are assigned; before, it did as `asymmetric` does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignModel:
    """A model in memory, its weights on disk until they are read; `notes`: what was changed so that it can be coded.

    `producer` is the program that made the file, as it says.
    """

    model: ir.Model
    producer: str
    opset: int
    ir_version: int
    notes: tuple[str, ...]


@exporter_messages_logged()
def read_foreign(path: Path) -> ForeignModel:
    """The model in `path`, with every weight as an initializer of the main graph.

    Raises VerificationError where it is not a readable ONNX file, UsageError for one that was compressed before, that
    holds sparse tensors or what cannot be rewritten, or of an operator set that cannot be converted.
    """
    proto = load_model(path, weights=False)
    _require_foreign(proto, path)
    opset, ir_version = _opset(proto, path), proto.ir_version
    notes = []
    proto = _of_one_set(proto if opset >= LEAST_OPSET else load_model(path), path)
    if opset < LEAST_OPSET:
        proto = _converted(proto, opset, path)
        notes.append(f"converted from operator set {opset} to {LEAST_OPSET}, in which decoding can be written")
    model = _read(proto, path)
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        ir.external_data.set_base_dir(graph, path.parent)
    if ir_version < IR_VERSION:
        model.ir_version = IR_VERSION
        notes.append(f"raised from IR version {ir_version} to {IR_VERSION}, which has the functions of a small file")
    normalize(model, ir_version)
    return ForeignModel(
        model=model, producer=f"{proto.producer_name} {proto.producer_version}".strip(), opset=opset,
        ir_version=ir_version, notes=tuple(notes),
    )  # fmt: skip


def _require_foreign(proto: onnx.ModelProto, path: Path) -> None:
    parts = tuple(owners(proto.graph, *proto.functions))
    nodes = [node for part in parts for node in part.node]
    if metadata.KEY in {entry.key for entry in proto.metadata_props} or any(node.domain == DOMAIN for node in nodes):
        raise UsageError(f"'{path}' was written by n2nsurgery: compress or export what it was made from")
    attributes = [attribute for node in nodes for attribute in node.attribute]
    count = sum(len(part.sparse_initializer) for part in parts if isinstance(part, onnx.GraphProto))
    count += sum(attribute.HasField("sparse_tensor") + len(attribute.sparse_tensors) for attribute in attributes)
    if count:
        raise UsageError(
            f"'{path}' holds {counted(count, 'weight')} as ONNX's sparse tensors; store what they hold as ordinary ones"
        )


def _opset(proto: onnx.ModelProto, path: Path) -> int:
    if not (version := opset_of(proto)):
        raise UsageError(f"'{path}' uses no standard ONNX operators, so none of its weights can be coded")
    return version


def _read(proto: onnx.ModelProto, path: Path) -> ir.Model:
    try:
        return ir.from_proto(proto)
    except ir.serde.SerdeError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UsageError(f"'{path}' holds what cannot be rewritten: {first_line(cause)}") from error


def _of_one_set(proto: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with the standard operators under one name, and with no function of another operator set."""
    opset = opset_of(proto)
    others = [entry for entry in proto.opset_import if entry.domain not in STANDARD_DOMAINS]
    del proto.opset_import[:]
    proto.opset_import.extend([onnx.helper.make_opsetid("", opset), *others])
    if all(opset_of(function) in {0, opset} for function in proto.functions):
        return proto
    try:
        return inliner.inline_local_functions(proto, convert_version=True)
    except Exception as error:  # the inliner and its converter raise unrelated classes
        raise UsageError(
            f"'{path}' has functions of other operator sets than its own, {opset}, which ONNX cannot convert to it"
            f" ({first_line(error)}): export it again without functions"
        ) from error


def _converted(proto: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    """The model in LEAST_OPSET; UsageError where ONNX's converter cannot bring it there."""
    advice = f"export it again with operator set {LEAST_OPSET} or newer"
    if (size := proto.ByteSize()) > MAX_BYTES:
        raise UsageError(f"'{path}' has operator set {opset} and {size} bytes, too many to convert it: {advice}")
    try:
        flat = inliner.inline_local_functions(proto, convert_version=True) if proto.functions else proto
        converted = version_converter.convert_version(flat, LEAST_OPSET)
    except Exception as error:  # the converter raises unrelated classes
        raise UsageError(
            f"'{path}' has operator set {opset}, which ONNX cannot convert to {LEAST_OPSET} ({first_line(error)}):"
            f" {advice}"
        ) from error
    if opset < _RESIZE_WITH_MODES:
        _resize_as_before(converted)
    return converted


def _resize_as_before(model: onnx.ModelProto) -> None:
    """Give each Resize the modes that it had before there were attributes for them; the converter leaves them out."""
    for node in (node for part in owners(model.graph) for node in part.node if node.op_type == "Resize"):
        for name, mode in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")):
            node.attribute.append(onnx.helper.make_attribute(name, mode))
