"""How a model is called and what it returns: device, mode, state, and tensors, alone or in tuples, lists, mappings."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from n2nsurgery.core.errors import UsageError


def primary_output(output: Any) -> Tensor:  # noqa: ANN401 - whatever the model returns
    """The tensor that the loss looks at: the output itself, 'out' (or the first) of a dict, the first of a tuple.

    Raises UsageError where there is no tensor at that place.
    """
    value = output
    while not isinstance(value, Tensor):
        if isinstance(value, Mapping) and value:
            value = value["out"] if "out" in value else next(iter(value.values()))
        elif isinstance(value, (tuple, list)) and value:
            value = value[0]
        else:
            raise UsageError(
                f"the model returns {type(output).__name__}, in which no tensor comes first: "
                "wrap the model so that it returns one"
            )
    return value


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy `state` into `module`, as `module.load_state_dict` does, with the versions of the module's own classes.

    Files keep names and tensors alone, and some classes (torchvision's MNASNet) refuse a state without a version.
    Raises RuntimeError where a name or a shape differs.
    """
    versioned = module.state_dict()
    versioned.clear()  # the versions are an attribute of the mapping, and stay
    versioned.update(state)
    module.load_state_dict(versioned)


def not_finite(module: nn.Module) -> str | None:
    """How many values of which parameters are NaN or infinite, as a sentence; None where there are none.

    Buffers are not asked: masks of attention hold infinities on purpose. Neither are parameters without values, which
    are lazy or on the meta device, and those of torch's sparse layouts.
    """
    held = {
        name: parameter
        for name, parameter in module.named_parameters()
        if not (is_lazy(parameter) or parameter.is_meta or parameter.layout != torch.strided)
    }
    broken = {name: int((~values.isfinite()).sum()) for name, values in held.items() if not values.isfinite().all()}
    if not broken:
        return None
    first = next(iter(broken))
    values = f"{broken[first]:,} of {module.get_parameter(first).numel():,}"
    others = f", and some in {len(broken) - 1:,} other parameters" if len(broken) > 1 else ""
    return f"values of '{first}' are NaN or infinite ({values}{others})"


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401 - any nesting
    """`value` with `function` applied to every tensor in it; mappings become dicts, what is not a tensor stays."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(item, function) for item in value) if _plain(value) else _named(value, function)
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """Every tensor in `value`, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def samples_in(inputs: Any) -> int:  # noqa: ANN401
    """The number of samples in a batch of `inputs`: the first dimension of its first tensor. Raises UsageError."""
    first = next(tensors_in(inputs), None)
    if first is None or not first.ndim:
        raise UsageError(
            f"inputs of type {type(inputs).__name__} hold no tensor whose first dimension counts samples; "
            "give a tensor, a tuple of tensors or a dict of tensors"
        )
    return first.shape[0]


def call(network: nn.Module, inputs: Any) -> Any:  # noqa: ANN401
    """What `network` returns: a tuple or list gives its arguments by position, a mapping by name, a tensor is one.

    Raises the errors of `network`, and UsageError as `dtypes_explained`.
    """
    with dtypes_explained(network, inputs):
        if isinstance(inputs, Mapping):
            positional, named = arguments(network, inputs)
            return network(*positional, **named)
        if isinstance(inputs, tuple | list):
            return network(*inputs)
        return network(inputs)


@contextmanager
def dtypes_explained(network: nn.Module, inputs: Any) -> Iterator[None]:  # noqa: ANN401
    """Inside, a RuntimeError about types is a UsageError where `inputs` have a dtype that `network` does not have."""
    try:
        yield
    except RuntimeError as error:
        foreign = foreign_dtypes(network, inputs)
        if not foreign or "type" not in str(error):
            raise
        own, given = _names(parameter.dtype for parameter in network.parameters()), _names(foreign)
        raise UsageError(
            f"{type(network).__name__} has weights of {', '.join(own)} and cannot take inputs of {', '.join(given)}: "
            f"convert them, as in x.to(torch.{own[0]}) ({error})"
        ) from error


def foreign_dtypes(network: nn.Module, inputs: Any) -> set[torch.dtype]:  # noqa: ANN401
    """The dtypes in `inputs` that no parameter of `network` has; none for a network without parameters."""
    own = {parameter.dtype for parameter in network.parameters()}
    return {tensor.dtype for tensor in tensors_in(inputs)} - own if own else set()


def _names(dtypes: Iterable[torch.dtype]) -> list[str]:
    return sorted({str(dtype).removeprefix("torch.") for dtype in dtypes})


def arguments(network: nn.Module, inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call with `inputs` by name, `x_0`, `x_1`, ... for a `forward(*x)`."""
    parameters = inspect.signature(network.forward).parameters
    spread = next((name for name, p in parameters.items() if p.kind is p.VAR_POSITIONAL), None)
    if spread is None or f"{spread}_0" not in inputs:
        return (), dict(inputs)
    before = [
        name for name in parameters if name in inputs and parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    first = [*before, *itertools.takewhile(inputs.__contains__, (f"{spread}_{i}" for i in itertools.count()))]
    return tuple(inputs[name] for name in first), {name: value for name, value in inputs.items() if name not in first}


def _plain(value: tuple[Any, ...] | list[Any]) -> bool:
    return not hasattr(value, "_fields")


def _named(value: Any, function: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401 - a named tuple
    return type(value)(*(map_tensors(item, function) for item in value))


def device_of(module: nn.Module) -> torch.device | None:
    """The device of the module's first parameter; None where it has no parameter."""
    return next((parameter.device for parameter in module.parameters()), None)


@contextmanager
def modes_kept(*modules: nn.Module) -> Iterator[None]:
    """Inside, modes may be switched; afterwards the `training` flag of every submodule is as before.

    `module.train(was_training)` would not do: it thaws a BatchNorm that its author has put into eval mode.
    """
    flags = [(part, part.training) for module in modules for part in module.modules()]
    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag


@contextmanager
def evaluation_mode(*modules: nn.Module) -> Iterator[None]:
    """Inside, `modules` are in eval mode; afterwards every submodule is in the mode it was in."""
    with modes_kept(*modules):
        for module in modules:
            module.eval()
        yield


_CALL_STATES = "_n2n_call_states"


class CallState(Protocol):
    """What is kept during a call of a module, for hooks inside of it."""

    def saved(self) -> Callable[[], AbstractContextManager[None]]:
        """A maker of contexts in which the state is that of this moment, for parts that are run again afterwards."""


def keep_call_state(module: nn.Module, state: CallState) -> None:
    """Let `call_states` find `state` at `module`; copies of the module have a copy of it."""
    module.__dict__.setdefault(_CALL_STATES, []).append(state)


def drop_call_states(root: nn.Module, kind: type) -> None:
    """Let go of the states of the class `kind` that are kept during calls of `root` and its parts."""
    for module in root.modules():
        if states := module.__dict__.pop(_CALL_STATES, None):
            for state in states:
                if not isinstance(state, kind):
                    keep_call_state(module, state)


def call_states(root: nn.Module) -> list[CallState]:
    """Every state that is kept during calls of `root` and its parts."""
    return [state for module in root.modules() for state in module.__dict__.get(_CALL_STATES, ())]


class FadedOutput:
    """A forward hook of modules that give z plus a branch when called as (z, a): of that branch, `strength` is left."""

    def __init__(self) -> None:
        self.strength = 1.0

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """What the module gives now."""
        return output if self.strength == 1 else torch.lerp(inputs[0], output, self.strength)


def is_faded(module: nn.Module) -> bool:
    """Whether nothing is left of the branch of `module`."""
    hooks = module._forward_hooks.values()  # noqa: SLF001 - torch has no other way to ask
    return any(isinstance(hook, FadedOutput) and hook.strength == 0 for hook in hooks)
