"""Options: what every front end has to know of a config's field, written once, at the field.

A config is a frozen dataclass. Its fields' names, types, defaults, ranges and help are the command line's options, the
keys of a recipe, the JSON schema and Python's keyword arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.core.names import nearest
from n2nsurgery.core.registry import Registry

_KEY = "option"


@dataclass(frozen=True, kw_only=True)
class Range:
    """An interval of finite numbers: `least` and `most` belong to it, `above` and `below` do not."""

    least: float | None = None
    above: float | None = None
    below: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return math.isfinite(value) and not (
            (self.least is not None and value < self.least)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
            or (self.most is not None and value > self.most)
        )

    def __str__(self) -> str:
        """`in (0, 1]`, `at least 1`, `above 0`."""
        if self.below is None and self.most is None:
            return f"at least {self.least:g}" if self.least is not None else f"above {self.above:g}"
        lower = f"[{self.least:g}" if self.least is not None else f"({self.above:g}"
        return f"in {lower}, " + (f"{self.most:g}]" if self.most is not None else f"{self.below:g})")


COUNT = Range(least=1)
"""Of what there is at least one."""


@dataclass(frozen=True, kw_only=True)
class Former:
    """The name of an option until version 0.1, and its values of that time by which the new ones are meant."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One field as front ends show it.

    `help`: one line. `group`: the heading it stands under. `metavar`: what stands for its value. `within`: the
    numbers that are allowed, also inside of lists and mappings. `registry`: whose members' names are its values, beside
    those in `names`. `former`: how it was spelled before.
    """

    help: str
    group: str = "Options"
    metavar: str | None = None
    within: Range | None = None
    registry: Registry[Any] | None = None
    names: tuple[str, ...] = ()
    former: Former | None = None


@dataclass(frozen=True, kw_only=True)
class ConfigField:
    """A described field of a config: its name, type, default (MISSING where it has to be given) and description."""

    name: str
    hint: Any
    default: Any
    option: Option

    @property
    def literals(self) -> tuple[Any, ...]:
        """The values that its type names one by one; empty for other types."""
        options = get_args(self.hint) if get_origin(self.hint) in {Union, UnionType} else (self.hint,)
        return tuple(value for each in options if get_origin(each) is Literal for value in get_args(each))

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it can be chosen from by name: those of its type, or of its registry."""
        registered = self.option.registry.names() if self.option.registry is not None else ()
        return (*registered, *self.option.names, *(str(value) for value in self.literals))

    @property
    def allowed(self) -> str:
        """What its value may be, for messages."""
        return allowed_text(self.hint, self.option.within)

    def accepts(self, value: object) -> bool:
        """Whether `value` is of its type and within its range."""
        return fits(self.hint, value, self.option.within)


def option(help: str, **more: Any) -> Mapping[str, Option]:  # noqa: A002, ANN401 - the fields of Option
    """The `metadata` of a config's field; arguments as for `Option`."""
    return {_KEY: Option(help=help, **more)}


@cache
def config_fields(config: type) -> tuple[ConfigField, ...]:
    """The fields of a config that are options, in their order."""
    hints = get_type_hints(config)
    return tuple(
        ConfigField(name=each.name, hint=hints[each.name], default=_default(each), option=each.metadata[_KEY])
        for each in fields(config)
        if _KEY in each.metadata
    )


def check_options(config: Any, section: str = "") -> None:  # noqa: ANN401 - a dataclass
    """Make tuples of lists and copies of mappings in a new config; UsageError for a value that is not allowed.

    `section`: what stands before the names of its fields in messages, where the config is a part of another.
    """
    kind: Any = type(config)
    for each in config_fields(kind):
        value = getattr(config, each.name)
        if isinstance(value, list | dict):
            value = tuple(value) if isinstance(value, list) else dict(value)
            object.__setattr__(config, each.name, value)
        if not each.accepts(value):
            raise refused(each, value, section)


def refused(each: ConfigField, value: object, section: str = "") -> UsageError:
    """The error for a `value` that a field does not take, with what it takes and the nearest name."""
    near = nearest(value, [word for word in each.literals if isinstance(word, str)]) if isinstance(value, str) else None
    kind = UnknownNameError if isinstance(value, str) and each.literals else UsageError
    hint = f"; did you mean '{near}'?" if near else ""
    return kind(
        f"is {value!r}; it must be {each.allowed}{hint}",
        field=f"{section}.{each.name}" if section else each.name,
        joint=" ",
    )


def _default(each: Field[Any]) -> object:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def fits(hint: Any, value: object, within: Range | None = None) -> bool:  # noqa: ANN401 - any type hint
    """Whether `value` is of the type `hint`, and all numbers in it `within` a range."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(fits(each, value, within) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        hints = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[-1] is Ellipsis else arguments
        return (
            isinstance(value, tuple)
            and len(hints) == len(value)
            and all(fits(each, item, within) for each, item in zip(hints, value, strict=True))
        )
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and fits(arguments[1], item, within) for key, item in value.items()
        )
    if hint is int or hint is float:
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and (within is None or within.holds(value))
    return hint is Any or isinstance(value, hint)


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "left out",
    Path: "a path",
    Any: "a value",
}


def allowed_text(hint: Any, within: Range | None = None) -> str:  # noqa: ANN401
    """What a value of the type `hint` may be, for messages."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " or ".join(dict.fromkeys(allowed_text(each, within) for each in arguments))
    if origin is Literal:
        return repr(arguments[0]) if len(arguments) == 1 else f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        return f"a list, each {allowed_text(arguments[0], within)}"
    if origin is Mapping:
        return (
            f"names with values, each {allowed_text(arguments[1], within)}"
            if arguments[1] is not Any
            else "names with values"
        )
    if within is not None and hint in {int, float}:
        return _whole(within) if hint is int else str(within)
    return _WORDS.get(hint, f"a {getattr(hint, '__name__', hint)}")


def _whole(within: Range) -> str:
    alone = within.least is not None and within.below is None and within.most is None
    return f"a whole number from {within.least:g}" if alone else f"a whole number {within}"
