"""Models from an importable factory, `package.module:factory`: a function or class that returns an nn.Module."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import reduce
from typing import cast

from torch import nn

from n2nsurgery.core.errors import RunError, UnknownNameError, UsageError
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, StateDict


def names() -> tuple[str, ...]:
    """Nothing: what can be imported is not listed."""
    return ()


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
    """The requested arguments; the shape of one sample has to be given."""
    if weights is not None:
        raise UsageError(f"'{name}' has no pretrained weights '{weights}'; give a .safetensors file")
    if input_size is None or isinstance(input_size, int):
        raise UsageError(f"the input of '{name}' is not known: give the shape of one sample, such as 3,32,32")
    return Design(arguments=dict(requested), input_shapes=(tuple(input_size),))


def build(name: str, arguments: Arguments) -> nn.Module:
    """What the factory returns; RunError for anything it raises, and where it returns no nn.Module."""
    factory = _import(name)
    try:
        module = factory(**arguments)
    except Exception as error:
        raise RunError(f"{name}(**{dict(arguments)}) failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise RunError(f"{name}() returned {type(module).__name__}; an nn.Module is needed")
    return module


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:  # noqa: ARG001 - one interface
    """Factories have no pretrained weights: always a UsageError."""
    raise UsageError(f"'{name}' has no pretrained weights '{weights}'; give a .safetensors file")


def _import(name: str) -> Callable[..., object]:
    path, _, attribute = name.partition(":")
    try:
        found = reduce(getattr, attribute.split("."), importlib.import_module(path))
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(
            f"'{name}' cannot be imported: {error}; is the package installed, or on PYTHONPATH?"
        ) from error
    if not callable(found):
        raise UsageError(f"'{name}' is {type(found).__name__}; a function or class that returns an nn.Module is needed")
    return cast("Callable[..., object]", found)
