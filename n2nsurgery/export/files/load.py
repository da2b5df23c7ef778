"""Reading .onnx files of unknown origin: nothing is opened or computed before the file is known to be sound."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # protobuf ships no types
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.files.sample_loop import without_loop
from n2nsurgery.export.files.sound import external_tensors, require_ranks, require_sound

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})

MAX_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""


def load_model(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """The model in `path`, with its external data loaded where `weights` is set, out of its loop over samples.

    Raises VerificationError for a missing file, for one that is not an ONNX model, and for one that breaks a rule of
    sound.py: tensors of the wrong size, external data outside the model's folder, functions or inputs beyond a bound.
    """
    model = _parsed(path)
    require_sound(model, path)
    if weights:
        load_external_data_for_model(model, str(path.parent))
    model = without_loop(model)
    require_ranks(model.graph, path)
    return model


def _parsed(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise VerificationError(
            f"'{path}' is not a file: it is a folder; `n2nsurgery export {quote(str(path))}` makes an .onnx file"
        )
    if not path.is_file():
        raise VerificationError(f"there is no file '{path}'; paths begin in the current folder '{Path.cwd()}'")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise VerificationError(f"'{path}' holds {size} bytes; an ONNX file has at most {MAX_BYTES}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise VerificationError(f"'{path}' is not an ONNX file, or is damaged ({error})") from error
    if not (model.ir_version and model.opset_import and model.graph.output):
        raise VerificationError(f"'{path}' is not an ONNX file: it has no graph, operator set or format version")
    return model


def opset_of(model: onnx.ModelProto | onnx.FunctionProto) -> int:
    """The version of the standard operator set that a model or function imports; 0 where it imports none."""
    return max((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0)


def source_size(path: Path) -> int:
    """Bytes of a model and of the files that hold its external data."""
    return sum(file.stat().st_size for file in (path, *data_files(path)))


def data_files(path: Path) -> set[Path]:
    """The files that hold the external data of the model in `path`."""
    tensors = external_tensors(load_model(path, weights=False))
    return {path.parent / str(ExternalDataInfo(tensor).location) for tensor in tensors}
