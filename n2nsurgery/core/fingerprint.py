"""Fingerprints: SHA-256 over canonical bytes, equal on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """`value` as JSON with sorted keys and no white space; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def fingerprint(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """SHA-256 (64 hex digits) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
