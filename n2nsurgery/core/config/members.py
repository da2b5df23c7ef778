"""Members of a registry made from a name and options, and the other way round: an object as its name and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from n2nsurgery.core.config.options import allowed_text, fits
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.core.registry import Registry

Scalar = float | bool | str


def make_member(
    registry: Registry[Any], name: str, options: Mapping[str, object], objects: Mapping[str, object] | None = None
) -> Any:  # noqa: ANN401 - a member of any registry
    """The member called `name` (or by an alias), its fields as in `options`.

    `objects`: fields whose value is an object that has been made already, and is taken as it is. Raises
    UnknownNameError for an unknown name or option, UsageError for a value of another type or out of range; its field is
    the option.
    """
    member = registry.get(name)
    hints = get_type_hints(member)
    known = tuple(field.name for field in fields(member)) if is_dataclass(member) else ()
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of the {registry.kind} '{registry.canonical(name)}'", option, known, field=option)
        if not fits(hints[option], value):
            raise UsageError(f"is {value!r}; it must be {allowed_text(hints[option])}", field=option, joint=" ")
    return member(**{**options, **(objects or {})})


def described(registry: Registry[Any], member: object) -> tuple[str, dict[str, Scalar], Any]:
    """Name and options of a member that is given as an object; and the object, unless the registry can make it again.

    An object of no registry is named by its class, `package.module:Class`. Options are the fields of a dataclass.
    """
    kind: Any = type(member)
    options: dict[str, Scalar] = {}
    for each in fields(kind) if is_dataclass(kind) else ():
        value = getattr(member, each.name)
        options[each.name] = value if isinstance(value, float | bool | str | int) else repr(value)
    known = registry.name_of(member)
    return known or f"{kind.__module__}:{kind.__qualname__}", options, None if known else member
