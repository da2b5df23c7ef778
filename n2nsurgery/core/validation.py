"""What a field of a config may be: predicates over plain values, and the one form of their rejection."""

from __future__ import annotations

import math
from collections.abc import Sequence

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.core.names import nearest


def require(holds: bool, field: str, value: object, allowed: str) -> None:  # noqa: FBT001 - a verdict
    """Return where `holds`; raises UsageError with the field, the value seen and what is allowed."""
    if not holds:
        raise UsageError(f"is {value!r}; it must be {allowed}", field=field, joint=" ")


def require_choice(field: str, value: object, choices: Sequence[str]) -> None:
    """Return where `value` is one of `choices`; raises UnknownNameError with the nearest one."""
    if value not in choices:
        near = nearest(value, choices) if isinstance(value, str) else None
        hint = f"; did you mean '{near}'?" if near else ""
        message = f"is {value!r}; it must be one of {', '.join(choices)}{hint}"
        raise UnknownNameError(message, field=field, joint=" ")


def is_number(value: object) -> bool:
    """Whether `value` is a finite int or float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def at_least(value: object, least: float) -> bool:
    """Whether `value` is a finite number not below `least`."""
    return is_number(value) and value >= least  # type: ignore[operator]  # is_number has looked


def above(value: object, bound: float) -> bool:
    """Whether `value` is a finite number above `bound`."""
    return is_number(value) and value > bound  # type: ignore[operator]


def within(value: object, least: float, below: float) -> bool:
    """Whether `value` is a number in [least, below)."""
    return is_number(value) and least <= value < below  # type: ignore[operator]


def is_count(value: object, least: int) -> bool:
    """Whether `value` is an int, and no bool, not below `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
