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
_IMAGE_RANK = 3  # channels, height, width


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a source decides for a request: the builder's `arguments` and the shape of one sample of each input.

    `input_names`, `input_ids`: as in a ModelSpec. `weights`: those that the model brings, where none were asked for.
    """

    arguments: Arguments
    input_shapes: tuple[Shape, ...]
    input_names: tuple[str, ...] = ()
    input_ids: tuple[int, ...] = ()
    weights: str | None = None


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
    """`default` with its last two dimensions replaced by one number or two, or replaced altogether by a shape.

    Raises UsageError for sizes below 1, and for a number where there are no two dimensions to replace.
    """
    if input_size is None:
        return default
    sizes = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    if not sizes or any(size < 1 for size in sizes):
        raise UsageError(f"{input_size}: every size must be at least 1", field="input_size", joint=" ")
    if len(default) >= _IMAGE_RANK and len(sizes) < _IMAGE_RANK:
        return (*default[:-2], *(sizes if len(sizes) > 1 else sizes * 2))
    if isinstance(input_size, int):
        raise UsageError(
            f"is {input_size}, and the input has the shape {'x'.join(map(str, default))}: give a shape like that",
            field="input_size",
            joint=" ",
        )
    return sizes


def call_builder(builder: Callable[..., nn.Module], name: str, arguments: Arguments) -> nn.Module:
    """`builder(**arguments)`; UsageError where it refuses its arguments."""
    try:
        return builder(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{name}' cannot be built with {dict(arguments)}: {error}") from error
