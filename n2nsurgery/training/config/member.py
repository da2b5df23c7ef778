"""A member of a registry made with the options that a config gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.core.registry import Registry

T = TypeVar("T")


def made(registry: Registry[type[T]], name: str, options: Mapping[str, Any], field: str) -> T:
    """The member called `name` with `options`, its fields by name; lists become tuples, as JSON has no other.

    `field`: where the options come from, for messages. Raises UnknownNameError for an option that it does not have,
    UsageError for a value that it refuses or one that is missing.
    """
    member: Any = registry.get(name)
    known = tuple(entry.name for entry in fields(member)) if is_dataclass(member) else ()
    for option in options:
        if option not in known:
            raise unknown(f"option of the {registry.kind} '{name}' in {field}", option, known)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        found: T = member(**values)
    except TypeError as error:
        raise UsageError(f"the {registry.kind} '{name}' cannot be made from {field}: {error}") from error
    return found
