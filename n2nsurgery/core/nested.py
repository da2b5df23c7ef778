"""Nested mappings as flat ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(value: Mapping[str, Any], joint: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested mapping with its keys joined: `train.epochs`; an empty mapping is a value."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from leaves(item, joint, f"{prefix}{key}{joint}")
        else:
            yield f"{prefix}{key}", item
