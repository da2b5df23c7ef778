"""What a source of models offers: names, a design for a request, the build, and pretrained weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError

Shape = tuple[int, ...]
InputSize = int | Shape
Arguments = Mapping[str, Any]
StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a source decides for a request: the builder's `arguments` and the shape of one sample of each input."""

    arguments: Arguments
    input_shapes: tuple[Shape, ...]


class ModelSource(Protocol):
    """One place that models come from; its modules satisfy this with plain functions."""

    def names(self) -> tuple[str, ...]:
        """Every name that can be listed, sorted."""
        ...

    def design(self, name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
        """The design for `name` with the `requested` arguments; `weights` are pretrained ones of the source.

        Raises UnknownNameError for an unknown name, UsageError for a request that cannot be met.
        """
        ...

    def build(self, name: str, arguments: Arguments) -> nn.Module:
        """The model, initialized from torch's global generator; no weights are loaded."""
        ...

    def pretrained(self, name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:
        """The full name of the pretrained `weights`, and their state dict.

        Raises RunError where they are not on this computer and `download` is False.
        """
        ...


def sized(default: Shape, input_size: InputSize | None) -> Shape:
    """`default` with its last two dimensions replaced by a number, or replaced altogether by a shape.

    Raises UsageError for sizes below 1, and for a number where there are no two dimensions to replace.
    """
    if input_size is None:
        return default
    sizes = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    if not sizes or any(size < 1 for size in sizes):
        raise UsageError(f"input size {input_size}: every size must be at least 1")
    if not isinstance(input_size, int):
        return sizes
    if len(default) < 3:  # noqa: PLR2004 - channels, height, width
        raise UsageError(f"input size {input_size}: the input has the shape {default}; give a shape instead")
    return (*default[:-2], input_size, input_size)


def call_builder(builder: Callable[..., nn.Module], name: str, arguments: Arguments) -> nn.Module:
    """`builder(**arguments)`; UsageError where it refuses its arguments."""
    try:
        return builder(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{name}' cannot be built with {dict(arguments)}: {error}") from error
