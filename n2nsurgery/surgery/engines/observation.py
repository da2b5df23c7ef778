"""Runs a model and keeps what can be seen of it: outputs, buffers, state and the gradient of every parameter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from n2nsurgery.core.outputs import call
from n2nsurgery.graph.model_inputs import leaves_of
from n2nsurgery.graph.tracing.side_effects import draws_undone, unchanged, weights_unchanged

_GRADIENT = "gradient of "
_LENGTH, _SPATIAL = 1, 2  # the dimension of tokens; the first of height and width


@dataclass(frozen=True, kw_only=True)
class Case:
    """In which mode a model is run, on what, and whether its gradients are looked at."""

    training: bool
    inputs: Mapping[str, Any]
    gradients: bool = True

    def __str__(self) -> str:
        shapes = ", ".join(str(tuple(value.shape)) for value in tree_leaves(self.inputs) if isinstance(value, Tensor))
        return f"{'train' if self.training else 'eval'} mode, inputs {shapes or 'without tensors'}"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one forward and backward pass showed, by name (`output 0`, `buffer norm.running_mean`, `gradient ...`).

    `settled`: the names of the gradients that were looked at when they came, and let go.
    """

    values: Mapping[str, object]
    settled: frozenset[str] = frozenset()

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


def observe(module: nn.Module, case: Case, settles: Callable[[str, Tensor], bool] | None = None) -> Observation:
    """What `module` shows in this case. Modes, buffers, attributes and random generators are as before at the end.

    `settles`: is given the name and the value of a gradient as soon as there is one, and says whether that was all it
    is needed for. Such a gradient takes no memory from then on; the parameters' `grad` is lost then.
    """
    parameters = {f"{_GRADIENT}{name}": each for name, each in module.named_parameters() if each.requires_grad}
    values: dict[str, object] = {}
    settled: set[str] = set()
    with _at_rest(module), torch.random.fork_rng(), draws_undone(), torch.set_grad_enabled(case.gradients):
        module.train(case.training)
        outputs = list(leaves_of(call(module, _detached(case.inputs))))
        values |= {f"output {number}": _plain(value) for number, value in enumerate(outputs)}
        values |= {f"buffer {name}": _plain(buffer) for name, buffer in module.named_buffers()}
        loss = _loss(outputs) if parameters else None
        if loss is None:
            values |= dict.fromkeys(parameters) if case.gradients else {}
        elif settles is None:
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            values |= zip(parameters, found, strict=True)
        else:
            values |= _unsettled(loss, parameters, settles, settled)
    return Observation(values=values, settled=frozenset(settled))


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
    """Identity and length of every attribute that is not part of nn.Module."""
    own = vars(nn.Module())
    return {
        name: (id(value), len(value) if isinstance(value, list | dict | set) else 0)
        for name, value in vars(module).items()
        if name not in own
    }


@contextmanager
def _at_rest(module: nn.Module) -> Iterator[None]:
    modes = [(child, child.training) for child in module.modules()]
    try:
        with weights_unchanged(module), unchanged(module):
            yield
    finally:
        for child, mode in modes:
            child.training = mode


def _detached(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), dict(inputs))  # type: ignore[no-any-return]


def _plain(value: object) -> object:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _loss(outputs: list[Any]) -> Tensor | None:
    """A weighted sum of all outputs; None where none has a gradient."""
    losses = [_weighted(value) for value in outputs if isinstance(value, Tensor) and value.requires_grad]
    return torch.stack(losses).sum() if losses else None


def _unsettled(
    loss: Tensor, parameters: Mapping[str, nn.Parameter], settles: Callable[[str, Tensor], bool], settled: set[str]
) -> dict[str, Tensor | None]:
    """The gradients by name but for those that are settled, whose names are added to `settled`."""

    def arrived(name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        if settles(name, parameter.grad):
            parameter.grad = None
            settled.add(name)
        else:  # more of it has come
            settled.discard(name)

    handles = []
    for name, parameter in parameters.items():
        parameter.grad = None  # a forward may have left one there
        hook = functools.partial(arrived, name)
        handles.append(parameter.register_post_accumulate_grad_hook(hook))  # type: ignore[no-untyped-call]
    try:
        loss.backward(inputs=list(parameters.values()))  # type: ignore[no-untyped-call]
        return {name: each.grad for name, each in parameters.items() if name not in settled}
    finally:
        for handle in handles:
            handle.remove()
        for parameter in parameters.values():
            parameter.grad = None


def _weighted(value: Tensor) -> Tensor:
    """A sum in which every entry has another weight, so that no symmetry (a softmax's) makes the gradient zero."""
    flat = torch.view_as_real(value).flatten() if value.is_complex() else value.flatten()
    weights = torch.arange(flat.numel(), device=flat.device).cos().to(flat.dtype)
    return (flat * weights).sum().float()
