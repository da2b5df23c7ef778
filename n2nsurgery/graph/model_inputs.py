"""What a model is called with: example inputs by name, and the module under the wrappers of torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import arguments, call, device_of, evaluation_mode, foreign_dtypes, map_tensors
from n2nsurgery.graph.untraceable import require_traceable

_OPTIMIZED = "_orig_mod"  # what torch.compile keeps the module in


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A submodule that is traced by itself: its path, and the names of its examples by position and by keyword."""

    path: str
    positional: tuple[str, ...]
    named: Mapping[str, str]

    def call(self, root: nn.Module, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """What the submodule returns for its part of the inputs."""
        args = [inputs[name] for name in self.positional]
        return root.get_submodule(self.path)(*args, **{key: inputs[name] for key, name in self.named.items()})


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, `DataParallel` and `DistributedDataParallel`; `model` itself without them.

    Raises TraceError for a module that cannot be traced, whatever its inputs.
    """
    while True:
        children = dict(model.named_children())
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif _OPTIMIZED in children:
            model = children[_OPTIMIZED]
        else:
            require_traceable(model)
            return model


def bind_inputs(model: nn.Module, example_inputs: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Example inputs by the name of forward's argument; UsageError where they do not fit the signature.

    The inputs of `forward(*x)` are called `x_0`, `x_1`, ...; those of `forward(**more)` have the names they came with.
    """
    signature = inspect.signature(model.forward)
    try:
        if isinstance(example_inputs, Mapping):
            positional, named = arguments(model, example_inputs)
            bound = signature.bind(*positional, **named)
        else:
            bound = signature.bind(*example_inputs)
    except TypeError as error:
        raise UsageError(f"the example inputs do not fit {type(model).__name__}.forward{signature}: {error}") from error
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found |= {f"{name}_{index}": item for index, item in enumerate(value)}
        else:
            found |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return found


def require_dtypes(model: nn.Module, example_inputs: Any) -> None:  # noqa: ANN401
    """Return where `model` takes floating-point inputs of these dtypes, which a trace without values does not ask.

    Raises UsageError, and the errors of `model`, which is called only where none of its parameters has such a dtype.
    """
    if any(dtype.is_floating_point for dtype in foreign_dtypes(model, example_inputs)):
        with evaluation_mode(model), torch.no_grad():
            call(model, map_tensors(example_inputs, lambda tensor: tensor.to(device_of(model))))


def samples_of(examples: Mapping[str, Any]) -> int | None:
    """The batch size of the examples: the first dimension of their first tensor that has one."""
    tensors = (leaf for value in examples.values() for leaf in leaves_of(value) if isinstance(leaf, torch.Tensor))
    return next((tensor.shape[0] for tensor in tensors if tensor.dim()), None)


def holds_tensor(value: object) -> bool:
    """Whether there is a tensor in `value`, which may be a container or a dataclass."""
    return any(isinstance(leaf, torch.Tensor) for leaf in leaves_of(value))


def leaves_of(value: object) -> Iterator[object]:
    """What `value` is made of: the items of containers and the attributes of objects, in any nesting."""
    yield from _leaves(value, set())


def _leaves(value: object, seen: set[int]) -> Iterator[object]:
    inner = _inner(value)
    if inner is None:
        yield value
    elif id(value) not in seen:  # objects may refer to each other
        seen.add(id(value))
        for item in inner:
            yield from _leaves(item, seen)


def _inner(value: object) -> list[Any] | None:
    """The parts of a container or an object; None where it is one value."""
    if issubclass(type(value), torch.Tensor | torch.fx.Proxy | nn.Module | type):
        return None
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, tuple | list | set):
        return list(value)
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return list(vars(value).values()) if hasattr(value, "__dict__") and not callable(value) else None
