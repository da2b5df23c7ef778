"""Shapes of inputs as a user gives them; importing it needs no ONNX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from n2nsurgery.core.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]
"""By the input's name, batch included."""

_SHAPE = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*")


def shapes_of(given: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The sizes that each of `given` names: a text like 1x3x224x224, one number, or a list. Raises UsageError."""
    return {name: _sizes(name, shape) for name, shape in given.items()}


def _sizes(name: str, shape: object) -> tuple[int, ...]:
    if isinstance(shape, str | int) and _SHAPE.fullmatch(str(shape)):
        return tuple(int(size) for size in str(shape).split("x"))
    if isinstance(shape, list | tuple) and shape and all(isinstance(size, int) and size > 0 for size in shape):
        return tuple(shape)
    raise UsageError(
        f"is {shape!r} for '{name}'; it must be the sizes of the input, batch included, like 1x3x224x224",
        field="input_shapes", joint=" ",
    )  # fmt: skip
