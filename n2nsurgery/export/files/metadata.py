"""One JSON document in the model's own metadata, under one key: the only place that every ONNX tool keeps.

It is `session.get_modelmeta().custom_metadata_map["n2nsurgery"]` in ONNX Runtime.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from n2nsurgery.core.errors import InternalError, InvalidFileError
from n2nsurgery.core.fingerprint import canonical_json

KEY = "n2nsurgery"
SCHEMA_VERSION = 1
MAX_CHARACTERS = 16 * 1024 * 1024


def encode(document: Mapping[str, Any]) -> str:
    """`document` with its schema version as canonical JSON (sorted keys, no white space, no NaN)."""
    if "schema_version" in document:
        raise InternalError("'schema_version' is written by the exporter and may not be part of the metadata")
    text = canonical_json({**document, "schema_version": SCHEMA_VERSION})
    if len(text) > MAX_CHARACTERS:
        raise InternalError(f"metadata of {len(text)} characters exceeds the {MAX_CHARACTERS} a reader accepts")
    return text


def decode(properties: Mapping[str, str]) -> dict[str, Any] | None:
    """Our document in a model's metadata properties, or None where the file was not made by this package.

    Raises InvalidFileError where it is too large, not a JSON object, or of a schema this version does not know.
    """
    text = properties.get(KEY)
    if text is None:
        return None
    if len(text) > MAX_CHARACTERS:
        raise InvalidFileError(f"metadata '{KEY}' holds {len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        document = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"metadata '{KEY}' is not JSON ({error}); export the model again") from error
    if not isinstance(document, dict):
        raise InvalidFileError(f"metadata '{KEY}' is a JSON {type(document).__name__}; an object is expected")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidFileError(
            f"metadata '{KEY}' has schema_version {version!r}; this version of n2nsurgery reads {SCHEMA_VERSION}"
        )
    _require_sections(document)
    return document


def _finite(text: str) -> float:
    """A number that JSON can hold."""
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def _require_sections(document: Mapping[str, Any]) -> None:
    """Raise InvalidFileError where a section that is read has another form than `encode` was given."""
    for name in ("summary", "deployment", "connectivity", "source"):
        if not isinstance(document.get(name, {}), dict):
            raise InvalidFileError(f"metadata '{KEY}': '{name}' is not an object; export the model again")
