"""What an ONNX file says of itself, and what its tensors say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.ideal_size import ideal_size
from n2nsurgery.export.files.load import load_model, opset_of
from n2nsurgery.export.files.onnx_file import ModelFiles
from n2nsurgery.export.sparse.stored_weights import kept_count, records_of, stored_bytes, tensors_of
from n2nsurgery.export.sparse.weight_record import WeightRecord


@dataclass(frozen=True, kw_only=True)
class FileInspection:
    """A file's metadata beside a recount.

    `document` is the metadata (None: the file was not made by this package). `recounted` holds for each weight the
    non-zeros and bytes found in its tensors. `mac_density`: recounted kept MACs over dense MACs, None without
    metadata.
    """

    path: Path
    size: int
    opset: int
    ir_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    document: dict[str, Any] | None
    weights: tuple[WeightRecord, ...]
    recounted: dict[str, tuple[int, int]]

    @property
    def ideal_size(self) -> float:
        """Bytes of an ideal code of these non-zeros in fp32; see ideal_size.py."""
        return ideal_size((self.recounted[record.name][0], record.numel) for record in self.weights)

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Weights of which the tensors hold another number of non-zeros, or bytes, than the metadata says."""
        return tuple(r.name for r in self.weights if self.recounted[r.name] != (r.nnz, r.bytes))

    @property
    def mac_density(self) -> float | None:
        """Kept over dense multiply-accumulates of one sample, the skips' counted as kept.

        Raises InvalidFileError where the metadata's summary is damaged.
        """
        summary = (self.document or {}).get("summary")
        if not summary or not summary.get("macs_dense"):
            return None
        try:
            calls = {layer["parameter"]: layer["macs"] / layer["kept"] for layer in summary["layers"] if layer["kept"]}
            calls |= {
                f"{skip['name']}.weight": skip["macs"] / skip["kept"] for skip in summary["skips"] if skip["kept"]
            }
            macs = sum(self.recounted[record.name][0] * calls.get(record.name, 0) for record in self.weights)
            return float(macs / summary["macs_dense"])
        except (KeyError, TypeError) as error:
            raise InvalidFileError(f"the metadata's summary of layers is damaged ({error}); export again") from error

    def to_json(self) -> dict[str, Any]:
        """The document that `inspect --json` prints for a file."""
        return {
            "onnx": str(self.path),
            "bytes": self.size,
            "ideal_size": self.ideal_size,
            "opset": self.opset,
            "ir_version": self.ir_version,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "nodes": self.nodes,
            "weights": [
                {**record.to_json(), "density": record.density, "recounted": self.recounted[record.name][0]}
                for record in self.weights
            ],
            "disagreements": list(self.disagreements),
            "mac_density": self.mac_density,
            "metadata": self.document,
        }


def inspect_file(path: Path) -> FileInspection:
    """The inspection of the model in `path`.

    Raises VerificationError where it is not a readable ONNX file or lacks a tensor that its metadata names, and
    InvalidFileError where its metadata is damaged.
    """
    model = load_model(path)
    document = metadata_document.decode({entry.key: entry.value for entry in model.metadata_props})
    tensors = tensors_of(model)
    records = records_of(document) if document is not None else tuple(_plain_records(model))
    return FileInspection(
        path=path,
        size=ModelFiles(model=path).size,
        opset=opset_of(model),
        ir_version=model.ir_version,
        inputs=tuple(value.name for value in model.graph.input),
        outputs=tuple(value.name for value in model.graph.output),
        nodes=len(model.graph.node),
        document=document,
        weights=records,
        recounted={record.name: (kept_count(record, tensors), stored_bytes(record, tensors)) for record in records},
    )


def _plain_records(model: onnx.ModelProto) -> Sequence[WeightRecord]:
    """Records of a file without metadata: every initializer with two or more dimensions."""
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) > 1}
    return [
        WeightRecord(
            name=name, initializer=name, shape=array.shape, transposed=False, nnz=int((array != 0).sum()), code="dense",
            values="fp32", computed="dense", reason="the file has no metadata", bytes=array.nbytes,
        )
        for name, array in arrays.items()
    ]  # fmt: skip
