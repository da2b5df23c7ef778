"""From the text of an option to the value of a config's field; ranges and names are the config's to check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, get_args, get_origin

from n2nsurgery.core.config.options import ConfigField
from n2nsurgery.core.errors import UsageError

_WORDS = {"true": True, "false": False}


def kind_of(hint: Any) -> Any:  # noqa: ANN401 - type hints
    """The one type that `hint` is when it is not None, or `hint` itself where it is a union of several."""
    options = [each for each in get_args(hint) if each is not NoneType]
    return options[0] if NoneType in get_args(hint) and len(options) == 1 else hint


def is_share(each: ConfigField) -> bool:
    """Whether a field is a number up to 1, alone or by name, which may be given in per cent."""
    within, kind = each.option.within, kind_of(each.hint)
    return within is not None and 1 in {within.most, within.below} and float in {kind, *get_args(kind)}


def parsed(each: ConfigField, given: Any) -> object:  # noqa: ANN401 - what typer read
    """The value of a field from what the command line gives; raises UsageError, with the field, for other text."""
    kind = kind_of(each.hint)
    if get_origin(kind) is tuple:
        return tuple(given) if get_args(kind)[0] is str else shape(each.name, given)
    if get_origin(kind) is Mapping:
        return _named(each, get_args(kind)[1], given)
    number = float if is_share(each) else next((hint for hint in get_args(kind) if hint in {int, float}), None)
    if isinstance(given, str) and number is not None and given not in each.literals:
        return _number(each, number, given, given)
    return given


def shape(field: str, text: str) -> tuple[int, ...]:
    """The shape of a sample from text like `3x224x224`, `3,224,224` or `224`; raises UsageError about `field`."""
    if not re.fullmatch(r"[1-9]\d{0,6}([x,][1-9]\d{0,6})*", text):
        raise UsageError(
            f"is '{text}'; it must be the shape of one sample, like 3x224x224, or the height and width of an image,"
            " like 224",
            field=field,
            joint=" ",
        )
    return tuple(int(size) for size in re.split("[x,]", text))


def _named(each: ConfigField, kind: type, given: Sequence[str]) -> dict[str, object]:
    """Values by name from texts like `fc=4`; a layer's pattern may itself hold an equals sign."""
    found: dict[str, object] = {}
    for text in given:
        number = kind in {int, float}
        name, equals, value = text.rpartition("=") if number else text.partition("=")
        if not (name and equals):
            raise UsageError(f"is '{text}'; it must be {each.option.metavar}", field=each.name, joint=" ")
        if name in found:
            raise UsageError(f"is given twice for '{name}'", field=each.name, joint=" ")
        found[name] = _number(each, kind, value, text) if number else _scalar(value)
    return found


def _number(each: ConfigField, kind: type, text: str, shown: str) -> object:
    try:
        return float(Decimal(text[:-1]) / 100) if text.endswith("%") and is_share(each) else kind(text)
    except (ValueError, ArithmeticError):
        raise UsageError(f"is '{shown}'; it must be {each.allowed}", field=each.name, joint=" ") from None


def _scalar(text: str) -> bool | int | float | str:
    """A truth value or a number where the text is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _WORDS.get(text, text)
