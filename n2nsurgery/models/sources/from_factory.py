"""Models of a user's own: a function or class that returns an nn.Module, by `package.module:factory` or `file.py:Net`.

Both are imported, which runs their code, so this is for names that a user gave, or allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import cast

from torch import nn

from n2nsurgery.core.errors import N2NSurgeryError, RunError, UnknownNameError, UsageError
from n2nsurgery.core.names import nearest
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, StateDict
from n2nsurgery.plugins import import_file, import_from_here

_SUFFIX = ".py"


def names() -> tuple[str, ...]:
    """Nothing: what can be imported is not listed."""
    return ()


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
    """The requested arguments; the shape of one sample has to be given."""
    if weights is not None:
        raise _no_pretrained(name, weights)
    if input_size is None or isinstance(input_size, int):
        _import(name)  # a name that is wrong matters more than a shape that is missing
        raise UsageError(
            f"the shape of one sample is needed, since nothing says it for '{name}': 3x32x32 for an image, 784 for a"
            f" vector, as in: {quote(name)} --input-size 3x32x32; in Python, by example_inputs",
            field="input_size",
        )
    return Design(arguments=dict(requested), input_shapes=(tuple(input_size),))


def build(name: str, arguments: Arguments) -> nn.Module:
    """What the factory returns; RunError for anything it raises, and where it returns no nn.Module."""
    factory = _import(name)
    try:
        module = factory(**arguments)
    except N2NSurgeryError:
        raise
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        hint = (
            "; a function that returns the model and needs no further arguments can be named in its place"
            if isinstance(error, TypeError)
            else ""
        )
        raise RunError(f"{name}({given}) failed: {type(error).__name__}: {error}{hint}") from error
    if not isinstance(module, nn.Module):
        raise RunError(f"{name}() returned {type(module).__name__}; an nn.Module is needed")
    return module


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:  # noqa: ARG001 - one interface
    """Factories have no pretrained weights: always a UsageError."""
    raise _no_pretrained(name, weights)


def _no_pretrained(name: str, weights: str) -> UsageError:
    return UsageError(
        f"'{name}' has no pretrained weights '{weights}'; give a file: .safetensors, .pth", field="weights"
    )


def _import(name: str) -> Callable[..., object]:
    place, _, attribute = name.rpartition(":")
    module = _file(Path(place)) if place.endswith(_SUFFIX) else _module(name, place)
    try:
        found = reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        near = nearest(attribute, [each for each in vars(module) if not each.startswith("_")])
        hint = f"; did you mean '{near}'?" if near else ""
        raise UnknownNameError(f"'{name}' cannot be imported: {place} has no '{attribute}'{hint}") from error
    if isinstance(found, nn.Module) or not callable(found):
        raise UsageError(f"'{name}' is {type(found).__name__}; a function or class that returns an nn.Module is needed")
    return cast("Callable[..., object]", found)


def _module(name: str, path: str) -> ModuleType:
    if not path or not all(part.isidentifier() for part in path.split(".")):
        raise UnknownNameError(
            f"'{name}' is not a model: write package.module:factory, file.py:Net, timm:NAME or hf:FOLDER"
        )
    try:
        return import_from_here(path)
    except ImportError as error:
        raise UnknownNameError(
            f"'{name}' cannot be imported: {error}; is the package installed, or the module in the current folder"
            f" '{Path.cwd()}'?"
        ) from error
    except Exception as error:
        raise _failing(path, error) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownNameError(f"there is no file '{path}'; paths begin in the current folder '{Path.cwd()}'")
    try:
        return import_file(path)
    except Exception as error:
        raise _failing(str(path), error) from error


def _failing(place: str, error: Exception) -> RunError:
    return RunError(f"'{place}' fails while it is imported: {type(error).__name__}: {error}")
