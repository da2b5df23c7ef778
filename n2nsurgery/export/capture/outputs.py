"""What a model returns, as a flat tuple of tensors with a name each.

ONNX knows only a list of named outputs; models return a tensor, a tuple, a named tuple, a dictionary
(torchvision's segmentation models) or a dataclass. Containers may be nested; None is left out.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import TraceError, UsageError

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def flatten(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a model's return value with their names, in order.

    A lone tensor is `output`; a field or key gives its own name, a position its index (`output_0`, `out`,
    `features_1`). Raises TraceError for anything that is neither a tensor, a container of tensors nor None.
    """
    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, _join(name, str(key)))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from flatten(getattr(value, field.name), _join(name, field.name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        labels = getattr(value, "_fields", None)
        for position, item in enumerate(value):
            yield from flatten(item, _join(name, labels[position]) if labels else f"{name or 'output'}_{position}")
    elif value is not None:
        raise TraceError(
            f"the model returns a {type(value).__name__} at '{name or 'output'}', which ONNX cannot hold: "
            "return tensors, or a tuple, dictionary or dataclass of tensors"
        )


def distinct(names: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """`names` in their order, with `_out`, `_out_out`, ... appended where a name is taken or comes twice."""
    used = set(taken)
    result = []
    for name in names:
        free = name
        while free in used:
            free += "_out"
        used.add(free)
        result.append(free)
    return tuple(result)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}_{name}" if prefix else name


class FlatOutputs(nn.Module):
    """`module` with its return value as a flat tuple of tensors; its parameters gain the prefix `module.`."""

    PREFIX = "module."

    def __init__(self, module: nn.Module, input_names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.input_names = tuple(input_names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The tensors that `module` returns for `inputs`, in the order of `flatten`.

        An input, a weight, and what is returned twice are copied: each output of an ONNX file has a name of its own.
        """
        named = {id(tensor) for tensor in (*inputs, *self.module.parameters(), *self.module.buffers())}
        returned = []
        for _, tensor in flatten(called(self.module, inputs, self.input_names)):
            returned.append(tensor.clone() if id(tensor) in named else tensor)
            named.add(id(tensor))
        return tuple(returned)


def called(module: nn.Module, inputs: Sequence[Tensor], names: Sequence[str]) -> Any:  # noqa: ANN401 - what it returns
    """What `module` returns for `inputs`: by name where forward has arguments of all these `names`, else in order.

    By name, arguments between the inputs may have been left out.
    """
    return module(**dict(zip(names, inputs, strict=True))) if _by_name(module, names) else module(*inputs)


def require_callable(module: nn.Module, names: Sequence[str]) -> None:
    """Return where `called` gives forward all that it needs; UsageError where it needs more than these tensors."""
    signature = inspect.signature(module.forward)
    try:
        signature.bind(**dict.fromkeys(names)) if _by_name(module, names) else signature.bind(*names)
    except TypeError as error:
        raise UsageError(
            f"{type(module).__name__}.forward cannot be called with tensors alone ({error}), and ONNX takes no others:"
            " export a module whose forward takes tensors and passes them on"
        ) from error


def _by_name(module: nn.Module, names: Sequence[str]) -> bool:
    parameters = inspect.signature(module.forward).parameters
    return all(name in parameters and parameters[name].kind in _NAMED for name in names)


def names_of(module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str]) -> tuple[str, ...]:
    """The names `flatten` gives to what `module` returns for `inputs`."""
    with torch.no_grad():
        given = [tensor.clone() for tensor in inputs]
        return tuple(name for name, _ in flatten(called(module, given, input_names)))
