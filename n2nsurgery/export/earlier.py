"""Whether a file may be what an export would write again, so that the same command twice is not an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from n2nsurgery.core.errors import InvalidFileError, VerificationError
from n2nsurgery.export.deployment import CodingOptions
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.files.onnx_file import ModelFiles, require_free, require_suffix


def may_be_equal(files: ModelFiles, metadata: Mapping[str, Any], wanted: CodingOptions, *, overwrite: bool) -> bool:
    """Whether a model is there that says it was made of the same, so that the new one has to equal it.

    False where nothing is there, or may be replaced. `metadata`: the sections that are known so far. Raises UsageError
    for any other model, for a name without `.onnx`, and where layers are measured, because two measurements differ.
    """
    require_suffix(files.model)
    if files.model.is_file() and not overwrite and not wanted.measure:
        document = _document(files.model)
        known = {**metadata, "deployment": {"format": wanted.format, "values": wanted.values}}
        if document is not None and _holds(document, json.loads(metadata_document.encode(known))):
            return True
    require_free(files, overwrite=overwrite)
    return False


def _document(path: Path) -> dict[str, Any] | None:
    try:
        model = load_model(path, weights=False)
        return metadata_document.decode({entry.key: entry.value for entry in model.metadata_props})
    except (InvalidFileError, VerificationError):
        return None


def _holds(document: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether `document` has every section of `known`, and of its deployment what is known of that."""
    deployment = document.get("deployment", {})
    rest = {name: section for name, section in known.items() if name != "deployment"}
    return rest.items() <= document.items() and known["deployment"].items() <= deployment.items()
