"""Models of the built-in families."""

from __future__ import annotations

from dataclasses import fields

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.models.family import FAMILIES, Family
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, StateDict, sized


def names() -> tuple[str, ...]:
    """The families' names."""
    return FAMILIES.names()


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
    """The family's own input shape; the arguments as requested, each of which must be one of its fields."""
    if weights is not None:
        raise UsageError(f"model '{name}' has no pretrained weights '{weights}'; name a .safetensors or .pth file")
    shape = sized(_member(name, requested).input_shape, input_size)
    return Design(arguments=dict(requested), input_shapes=(shape,))


def build(name: str, arguments: Arguments) -> nn.Module:
    """The family's model."""
    return _member(name, arguments).build()


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:  # noqa: ARG001 - one interface
    """Families have no pretrained weights: always a UsageError."""
    raise UsageError(f"model '{name}' has no pretrained weights '{weights}'; name a .safetensors or .pth file")


def _member(name: str, arguments: Arguments) -> Family:
    family = FAMILIES.get(name)
    known = [field.name for field in fields(family)]
    for argument in arguments:
        if argument not in known:
            raise unknown(f"option of model '{name}'", argument, known)
    return family(**arguments)
