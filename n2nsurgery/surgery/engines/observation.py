"""Runs a model and keeps what can be seen of it: outputs, buffers, state and the gradient of every parameter."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from n2nsurgery.core.outputs import call
from n2nsurgery.graph.model_inputs import leaves_of
from n2nsurgery.graph.tracing.side_effects import draws_undone, unchanged

_GRADIENT = "gradient of "
_LENGTH, _SPATIAL = 1, 2  # the dimension of tokens; the first of height and width


@dataclass(frozen=True, kw_only=True)
class Case:
    """In which mode a model is run, and on what."""

    training: bool
    inputs: Mapping[str, Any]

    def __str__(self) -> str:
        shapes = ", ".join(str(tuple(value.shape)) for value in tree_leaves(self.inputs) if isinstance(value, Tensor))
        return f"{'train' if self.training else 'eval'} mode, inputs {shapes or 'without tensors'}"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one forward and backward pass showed, by name (`output 0`, `buffer norm.running_mean`, `gradient ...`)."""

    values: Mapping[str, object]

    @property
    def gradients(self) -> dict[str, object]:
        """The gradients among the values, None where a parameter has none."""
        return {name: value for name, value in self.values.items() if name.startswith(_GRADIENT)}


def cases_of(inputs: Mapping[str, Any]) -> tuple[Case, ...]:
    """Train mode on the example inputs, eval mode on half as many samples of them (twice as many, where there is one).

    Then the modes the other way round.
    """
    other = tree_map_only(Tensor, _other_size, dict(inputs))
    return tuple(
        Case(training=training, inputs=given)
        for training, given in ((True, inputs), (False, other), (False, inputs), (True, other))
    )


def larger_cases(inputs: Mapping[str, Any]) -> Iterator[Case]:
    """Eval mode on inputs of half as many samples, each half as large again: in height and width, then in length."""
    fewer = tree_map_only(Tensor, _other_size, dict(inputs))
    for first in (_SPATIAL, _LENGTH):
        grown = tree_map_only(Tensor, functools.partial(_grown, first=first), fewer)
        yield Case(training=False, inputs=grown)


def _grown(tensor: Tensor, *, first: int) -> Tensor:
    """`tensor` with its mirror image beside it, half as far: in every dimension from `first`, or in `first` alone."""
    dims = range(first, tensor.dim()) if first == _SPATIAL else range(first, min(first + 1, tensor.dim()))
    for dim in dims:
        tensor = torch.cat([tensor, tensor.flip(dim).narrow(dim, 0, (tensor.shape[dim] + 1) // 2)], dim)
    return tensor


def _other_size(tensor: Tensor) -> Tensor:
    if not tensor.dim():
        return tensor
    size = tensor.shape[0]
    return tensor[: size // 2] if size > 1 else torch.cat([tensor, tensor])


def observe(module: nn.Module, case: Case) -> Observation:
    """What `module` shows in this case. Modes, buffers, attributes and random generators are as before at the end."""
    parameters = dict(module.named_parameters())
    values: dict[str, object] = {}
    with _at_rest(module), torch.random.fork_rng(), draws_undone(), torch.enable_grad():
        module.train(case.training)
        outputs = list(leaves_of(call(module, _detached(case.inputs))))
        values |= {f"output {number}": _plain(value) for number, value in enumerate(outputs)}
        values |= {f"buffer {name}": _plain(buffer) for name, buffer in module.named_buffers()}
        gradients = _gradients(outputs, parameters)
        values |= {f"{_GRADIENT}{name}": gradient for name, gradient in gradients.items()}
    return Observation(values=values)


def written_attributes(module: nn.Module, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the attributes, buffers aside, that one forward pass sets or fills; in either mode."""
    written: list[str] = []
    for training in (False, True):
        with _at_rest(module), torch.random.fork_rng(), draws_undone(), torch.no_grad():
            module.train(training)
            before = {path: _content(child) for path, child in module.named_modules()}
            try:
                call(module, _detached(inputs))
            except Exception:  # noqa: BLE001, S112 - whatever the user's code raises; then nothing is learnt
                continue
            for path, child in module.named_modules():
                after = _content(child)
                names = [n for n in after if n not in before[path] or after[n] != before[path][n]]
                written += [f"{path}.{name}".lstrip(".") for name in names]
    return tuple(dict.fromkeys(written))


def _content(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Identity and length of every attribute that is no part of nn.Module."""
    own = vars(nn.Module())
    return {
        name: (id(value), len(value) if isinstance(value, list | dict | set) else 0)
        for name, value in vars(module).items()
        if name not in own
    }


@contextmanager
def _at_rest(module: nn.Module) -> Iterator[None]:
    modes = [(child, child.training) for child in module.modules()]
    weights = [(parameter, parameter.detach().clone()) for parameter in module.parameters()]
    try:
        with unchanged(module):
            yield
    finally:
        with torch.no_grad():
            for parameter, value in weights:  # a forward may write to them, as momentum encoders do
                parameter.copy_(value)
        for child, mode in modes:
            child.training = mode


def _detached(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), dict(inputs))  # type: ignore[no-any-return]


def _plain(value: object) -> object:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _gradients(outputs: list[Any], parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor | None]:
    """The gradients of a weighted sum of all outputs; None where no output depends on a parameter."""
    losses = [_weighted(value) for value in outputs if isinstance(value, Tensor) and value.requires_grad]
    wanted = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    if not losses or not wanted:
        return dict.fromkeys(wanted)
    found = torch.autograd.grad(torch.stack(losses).sum(), list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, found, strict=True))


def _weighted(value: Tensor) -> Tensor:
    """A sum in which every entry has another weight, so that no symmetry (a softmax's) makes the gradient zero."""
    flat = torch.view_as_real(value).flatten() if value.is_complex() else value.flatten()
    weights = torch.arange(flat.numel(), device=flat.device).cos().to(flat.dtype)
    return (flat * weights).sum().float()
