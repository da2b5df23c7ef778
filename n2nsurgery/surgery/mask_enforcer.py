"""Keeps pruned weights at exactly zero, whatever trains the network.

Every masked parameter carries a gradient hook that zeroes the gradient of its pruned entries. A pruned weight starts
at zero, so SGD with momentum and weight decay, Adam(W), gradient accumulation, AMP and EMA all leave it at exactly
zero, as long as the optimizer was created after pruning. For one that was not, or one that mixes entries
(second-order methods), `attach` masks the weights after every step and clears the optimizer's state.

state_dict keys do not change: there is no parametrization and no buffer. The mask enforcer follows deepcopy (the hooks
of a parameter do not), `.to` and load_state_dict.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.maskset import MaskSet

_ATTRIBUTE = "_n2n_mask_enforcer"


class _Pruned:
    """The complement of one mask, on the device where it was last needed; also the gradient hook of its parameter."""

    __torch_unserializable__ = True  # torch need not warn that a pickled parameter loses the hook: it is bound again

    def __init__(self, mask: Tensor) -> None:
        self._entries = ~mask

    def on(self, device: torch.device) -> Tensor:
        """True where the weight is pruned."""
        if self._entries.device != device:
            self._entries = self._entries.to(device)
        return self._entries

    def __call__(self, gradient: Tensor) -> Tensor:
        """The gradient with pruned entries at zero; filled rather than multiplied, for 0 * inf is NaN."""
        return gradient.masked_fill(self.on(gradient.device), 0)


class MaskEnforcer:
    """The masks of one module, bound to its parameters; made by `apply_masks`."""

    def __init__(self, masks: MaskSet, pruned: dict[str, _Pruned] | None = None) -> None:
        self.masks = masks
        self._pruned = pruned or {name: _Pruned(mask) for name, mask in masks.items()}
        self._parameters: dict[str, nn.Parameter] = {}
        self._handles: list[RemovableHandle] = []
        self._suspended = False

    def bind(self, parameters: dict[str, nn.Parameter]) -> None:
        """Guard these parameters, by the masks' names, and no others; pruned entries become zero."""
        for handle in self._handles:
            handle.remove()
        self._parameters = parameters
        guarded = {} if self._suspended else parameters
        self._handles = [_hooked(parameter, self._pruned[name]) for name, parameter in guarded.items()]
        self.apply()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, gradients come as they are: whoever trains masks them, at a lower price than a copy of each."""
        self._suspended = True
        self.bind(self._parameters)
        try:
            yield
        finally:
            self._suspended = False
            self.bind(self._parameters)

    @torch.no_grad()
    def apply(self) -> None:
        """Set every pruned weight to zero."""
        for name, parameter in self._parameters.items():
            parameter.masked_fill_(self._pruned[name].on(parameter.device), 0)

    @torch.no_grad()
    def clear(self, optimizer: Optimizer) -> None:
        """Set the optimizer's state of every pruned weight to zero."""
        for name, parameter in self._parameters.items():
            for state in optimizer.state.get(parameter, {}).values():
                if isinstance(state, Tensor) and state.shape == parameter.shape:
                    state.masked_fill_(self._pruned[name].on(state.device), 0)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the hooks, which are bound to the parameters of this process."""
        return self.__dict__ | {"_handles": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.bind(self._parameters)

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskEnforcer:
        """A mask enforcer of the copied parameters; the masks are immutable and shared."""
        twin = MaskEnforcer(self.masks, self._pruned)
        memo[id(self)] = twin
        twin.bind({name: copy.deepcopy(parameter, memo) for name, parameter in self._parameters.items()})
        return twin


def _hooked(parameter: nn.Parameter, hook: _Pruned) -> RemovableHandle:
    """The handle of `hook` on a parameter, also on a frozen one, which may be thawed later."""
    required = parameter.requires_grad
    handle: RemovableHandle = parameter.requires_grad_(True).register_hook(hook)  # type: ignore[no-untyped-call]
    parameter.requires_grad_(required)
    return handle


def apply_masks(module: nn.Module, masks: MaskSet) -> None:
    """From now on the entries of `module`'s parameters outside `masks` are zero, and stay zero in training.

    Masks that were kept before are let go: their entries may take values again.
    """
    parameters = {name: module.get_parameter(name) for name in masks}
    former = enforcer_of(module)
    if former is not None:
        former.bind({})
    enforcer = MaskEnforcer(masks)
    enforcer.bind(parameters)
    module.__dict__[_ATTRIBUTE] = enforcer
    if former is None:
        module.register_load_state_dict_post_hook(_rebind)  # type: ignore[no-untyped-call]


def enforcer_of(module: nn.Module) -> MaskEnforcer | None:
    """The mask enforcer of a pruned module, None for any other."""
    return module.__dict__.get(_ATTRIBUTE)


def _rebind(module: nn.Module, _: object) -> None:
    """After load_state_dict: parameters may be new objects, and loaded weights may be dense."""
    enforcer = enforcer_of(module)
    if enforcer is not None:
        enforcer.bind({name: module.get_parameter(name) for name in enforcer.masks})


def attach(module: nn.Module, optimizer: Optimizer) -> RemovableHandle:
    """Mask `module`'s weights and `optimizer`'s state after every step of `optimizer`; the handle undoes it.

    Needed where the optimizer held momentum from before pruning, or moves zeros on its own. Raises UsageError
    for a module without masks; one wrapped by DDP or torch.compile is unwrapped.
    """
    inner: Any = module
    while enforcer_of(inner) is None and any(hasattr(inner, name) for name in ("module", "_orig_mod")):
        inner = getattr(inner, "_orig_mod", None) or inner.module
    if enforcer_of(inner) is None:
        raise UsageError(f"{type(module).__name__} was not pruned: it has no masks to enforce")

    def masked(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        enforcer = enforcer_of(inner)  # whose masks may have been replaced meanwhile
        assert enforcer is not None
        enforcer.apply()
        enforcer.clear(optimizer)

    return optimizer.register_step_post_hook(masked)
