"""The signature of a function that takes a config's fields as keywords: for notebooks and editors that ask it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING
from typing import Any, TypeVar, get_type_hints

from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.names import unknown

F = TypeVar("F", bound=Callable[..., Any])


def require_known(options: Iterable[str], keywords: type, function: str) -> None:
    """Return where every name is one of the TypedDict `keywords`; raises UnknownNameError with the nearest."""
    known = tuple(get_type_hints(keywords))
    for name in options:
        if name not in known:
            raise unknown(f"option of {function}", name, known)


def keywords_of(config: type, keywords: type) -> Callable[[F], F]:
    """A decorator: `**options` of a function are shown as the fields of `config` that the TypedDict `keywords` has."""

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        named = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if each.default is MISSING else each.default,
                annotation=each.hint,
            )
            for each in config_fields(config)
            if each.name in get_type_hints(keywords)
        ]
        function.__signature__ = signature.replace(parameters=[*named, *options])  # type: ignore[attr-defined]
        return function

    return shown
