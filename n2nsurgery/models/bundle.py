"""ModelBundle: a model with the inputs it is traced and measured with, and the recipe that builds it again."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.model_spec import ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelBundle:
    """A model ready for surgery.

    `example_inputs` are batch first, in the order of `forward`'s parameters, whose names are `input_names`. `spec`
    is None for a model that was handed in as an object: nothing here can build that one again.
    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    input_names: tuple[str, ...]
    spec: ModelSpec | None = None


def input_names(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[str, ...]:
    """The names of `forward`'s parameters to which `inputs` are bound by position; `*x` gives `x_0`, `x_1`, ...

    Raises UsageError where `forward` does not take that many inputs.
    """
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*inputs).arguments
    except TypeError as error:
        raise UsageError(
            f"{type(module).__name__}.forward{signature} does not take {len(inputs)} example inputs: {error}"
        ) from error
    names: list[str] = []
    for name, value in bound.items():
        variadic = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{name}_{i}" for i in range(len(value))] if variadic else [name]
    return tuple(names)
