"""The model that a caller gives, by name or as an object, with the inputs that it is traced with."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.model_inputs import bind_inputs, require_dtypes, unwrapped
from n2nsurgery.masks.attachment import enforcer_of, require_unpruned
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.locate import locate
from n2nsurgery.models.model_spec import ModelSpec


def bundle_of(model: nn.Module | str, example_inputs: Any, seed: int) -> ModelBundle:  # noqa: ANN401
    """The model with its example inputs: built by name, or the object that was given; UsageError without inputs."""
    if isinstance(model, str):
        bundle = resolve_model(model, seed=seed, input_size=_size(model, example_inputs))
        return bundle if example_inputs is None else _fed(bundle.module, example_inputs, bundle.spec)
    if example_inputs is None:
        raise UsageError(f"{type(model).__name__} was given as an object: pass example_inputs to trace it with")
    return _fed(model, example_inputs, None)


def _size(name: str, example_inputs: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    """The shape of one sample for what cannot say it, a factory of one input; all others know their own."""
    single = isinstance(example_inputs, Tensor) and locate(name)[0] == "factory"
    return tuple(example_inputs.shape[1:]) if single else None


def inputs_of(bundle: ModelBundle) -> dict[str, Any]:
    """The example inputs by the name of forward's argument; arguments between them may have been left out."""
    return dict(zip(bundle.input_names, bundle.example_inputs, strict=True))


def _fed(module: nn.Module, example_inputs: Any, recipe: ModelSpec | None) -> ModelBundle:  # noqa: ANN401
    if enforcer_of(module) is not None:
        require_unpruned(module)
    module = unwrapped(module)
    given = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    inputs = bind_inputs(module, given)
    require_dtypes(module, given)
    return ModelBundle(module=module, example_inputs=tuple(inputs.values()), input_names=tuple(inputs), spec=recipe)
