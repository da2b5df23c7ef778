"""From JSON back to frozen dataclasses, strictly: every key known, every key there, every type right."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from n2nsurgery.core.errors import InvalidFileError

T = TypeVar("T")


def decode(cls: type[T], value: object, where: str) -> T:
    """The `cls` that `dataclasses.asdict` gave `value`: a dataclass of scalars, literals, tuples, mappings and such.

    `where` names the value in messages ("plan.json: skips[3]"). Raises InvalidFileError for a key that is unknown or
    missing and for a value of another type; lists become tuples.
    """
    if not isinstance(value, Mapping):
        raise InvalidFileError(f"{where} is {_seen(value)}; an object with the fields of {cls.__name__} is needed")
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is a dataclass
    unknown, missing = sorted(set(value) - set(names)), sorted(set(names) - set(value))
    if unknown or missing:
        raise InvalidFileError(f"{where}: unknown keys {unknown}, missing keys {missing}; {cls.__name__} has {names}")
    return cls(**{name: _value(hints[name], value[name], f"{where}.{name}") for name in names})


def _value(hint: Any, value: object, where: str) -> Any:  # noqa: ANN401 - a type hint and what it describes
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, value, where)
    if origin in (Union, UnionType):
        return _union(arguments, value, where)
    if origin is Literal:
        return _checked(value in arguments, value, where, f"one of {list(arguments)}")
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        return _mapping(arguments[1], value, where)
    # Any: a JSON value, which is taken as it is
    return _checked(hint is Any or _is_scalar(hint, value), value, where, hint.__name__)


def _union(options: tuple[Any, ...], value: object, where: str) -> Any:  # noqa: ANN401 - any of the options
    if value is None and NoneType in options:
        return None
    concrete = [option for option in options if option is not NoneType]
    if len(concrete) == 1:
        return _value(concrete[0], value, where)
    # Unions of several types are unions of scalars and literals here, so the order of the attempts does not matter.
    accepted = any(
        value in get_args(option) if get_origin(option) is Literal else _is_scalar(option, value) for option in concrete
    )
    return _checked(accepted, value, where, " or ".join(map(_name, concrete)))


def _name(option: Any) -> str:  # noqa: ANN401 - a type hint
    literals = get_args(option)
    return " or ".join(map(repr, literals)) if literals else str(option.__name__)


def _tuple(items: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidFileError(f"{where} is {_seen(value)}; a list is needed")
    hints = (items[0],) * len(value) if items[-1] is Ellipsis else items
    _checked(len(hints) == len(value), value, where, f"a list of {len(hints)}")
    return tuple(_value(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True)))


def _mapping(hint: Any, value: object, where: str) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidFileError(f"{where} is {_seen(value)}; an object is needed")
    return {key: _value(hint, item, f"{where}.{key}") for key, item in value.items()}


def _is_scalar(hint: type, value: object) -> bool:
    if hint is float:  # an int is a float that was written without a point; it is kept as it is
        return _is_scalar(int, value) or (isinstance(value, float) and math.isfinite(value))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _checked(accepted: bool, value: object, where: str, needed: str) -> object:  # noqa: FBT001 - a verdict
    if not accepted:
        raise InvalidFileError(f"{where} is {_seen(value)}; {needed} is needed")
    return value


def _seen(value: object) -> str:
    return reprlib.repr(value)
