"""MaskEnforcer: pruned weights stay at exactly zero, whatever trains the network.

Every masked parameter carries a gradient hook that zeroes the gradient of its pruned entries. A pruned weight starts at
zero, so SGD with momentum and weight decay, Adam(W), gradient accumulation, AMP and EMA all leave it at exactly zero.
For an optimizer that holds momentum from before pruning, or that mixes entries (Muon and other second-order methods),
`attach` masks the weights and the optimizer's state after every step. A training loop of its own may suspend the hooks
and call `mask_gradients` once for each step instead, which saves a copy of each gradient.

Bits are and-ed rather than multiplied: inf * 0 is NaN, inf & 0 is +0, and both run at the speed of memory
(`masked_fill_` takes four times as long on a CPU, where it is not vectorized).

state_dict keys do not change: there is no parametrization and no buffer. The enforcer follows deepcopy and pickling
(the hooks of a parameter do not), `.to` and load_state_dict.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.core.names import unknown

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class GradientMask:
    """The mask of the parameter `name` as bits, and its gradient hook."""

    def __init__(self, name: str, mask: Tensor) -> None:
        self.name = name
        self._mask = mask
        self._bits: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def lay_out(self, parameter: Tensor) -> None:
        """Hold the bits in the memory layout of `parameter`, so that both are read in one pass, and no others."""
        self._bits = {}
        self.bits(parameter)

    def bits(self, tensor: Tensor) -> Tensor:
        """All bits set where the mask keeps and none elsewhere, on the device and in the precision of `tensor`."""
        integer = _BITS[tensor.element_size()]
        bits = self._bits.get((tensor.device, integer))
        if bits is None:
            bits = torch.empty_like(tensor, dtype=integer, requires_grad=False).copy_(self._mask).neg_()
            self._bits[tensor.device, integer] = bits
        return bits

    def zero_(self, tensor: Tensor) -> None:
        """Set the pruned entries of `tensor` to +0, in place."""
        bits = self.bits(tensor)
        tensor.detach().view(bits.dtype).bitwise_and_(bits)

    def moved(self, tensor: Tensor) -> int:
        """How many pruned entries of `tensor` are not zero."""
        return int(((tensor != 0) & (self.bits(tensor) == 0)).sum())

    def __call__(self, gradient: Tensor) -> Tensor:
        """The gradient with pruned entries at zero."""
        bits = self.bits(gradient)
        if gradient.requires_grad:  # a second derivative is wanted, and bits have none
            return gradient.where(bits != 0, 0)
        return gradient.view(bits.dtype).bitwise_and(bits).view(gradient.dtype)


class MaskEnforcer:
    """The masks of one module's parameters; `apply_masks` makes one that stays with the module."""

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor], *, hooks: bool = True) -> None:
        """Zero the pruned weights of `module`, and with `hooks` their gradients from now on.

        `masks`: boolean, by parameter name, True keeps the weight. Raises UnknownNameError for a mask of no parameter,
        UsageError for one of another shape or type.
        """
        self.masks = masks
        self._gradient_masks = {name: GradientMask(name, mask) for name, mask in masks.items()}
        self._parameters: dict[str, nn.Parameter] = {}
        self._handles: list[RemovableHandle] = []
        self._suspended = not hooks
        self.bind(module)

    def bind(self, module: nn.Module) -> None:
        """Mask the parameters that `module` has now, as they lie in memory, and no others."""
        parameters = dict(module.named_parameters(remove_duplicate=False))
        self._mask({name: _fitting(parameters, name, mask) for name, mask in self.masks.items()})

    def release(self) -> None:
        """Mask nothing any longer."""
        self._mask({})

    def masks_parameters_of(self, module: nn.Module) -> bool:
        """Whether these are still the parameters of `module`, which others may replace."""
        found = dict(module.named_parameters(remove_duplicate=False))
        return all(found.get(name) is parameter for name, parameter in self._parameters.items())

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, gradients come as they are, for a loop that calls `mask_gradients`; masked as before afterwards."""
        before, self._suspended = self._suspended, True
        self._mask(self._parameters)
        try:
            yield
        finally:
            self._suspended = before
            self._mask(self._parameters)

    def in_force(self) -> dict[str, Tensor]:
        """The masks by parameter name, read back from the bits that are and-ed."""
        return {name: self._gradient_masks[name].bits(p) != 0 for name, p in self._parameters.items()}

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradient of every pruned weight to zero, whatever it is."""
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                self._gradient_masks[name].zero_(parameter.grad)

    @torch.no_grad()
    def apply(self) -> None:
        """Set every pruned weight to zero."""
        for name, parameter in self._parameters.items():
            self._gradient_masks[name].zero_(parameter)

    @torch.no_grad()
    def clear(self, optimizer: Optimizer) -> None:
        """Set the optimizer's state of every pruned weight to zero."""
        for name, parameter in self._parameters.items():
            for state in _state_of(optimizer, parameter):
                self._gradient_masks[name].zero_(state)

    @torch.no_grad()
    def require_zero(self, *optimizers: Optimizer, average: Mapping[str, Tensor] | None = None) -> None:
        """Return where every pruned weight is zero, in the state of `optimizers` and in `average` too.

        Raises VerificationError with the parameter and the number of entries.
        """
        for name, parameter in self._parameters.items():
            places: dict[str, list[Tensor]] = {
                "the weights": [parameter],
                "the optimizer's state": [state for each in optimizers for state in _state_of(each, parameter)],
                "the averaged weights": [average[name]] if average is not None else [],
            }
            for place, tensors in places.items():
                if moved := sum(map(self._gradient_masks[name].moved, tensors)):
                    raise VerificationError(
                        f"{moved:,} pruned entries of '{name}' are no longer zero in {place}: something other than an "
                        "element-wise optimizer has written to them; pass the optimizer to enforce() before training"
                    )

    def _mask(self, parameters: dict[str, nn.Parameter]) -> None:
        for handle in self._handles:
            handle.remove()
        self._parameters = parameters
        for name, parameter in parameters.items():
            self._gradient_masks[name].lay_out(parameter)
        hooked = {} if self._suspended else parameters
        self._handles = [_hooked(parameter, self._gradient_masks[name]) for name, parameter in hooked.items()]
        self.apply()

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskEnforcer:
        """An enforcer of the copied parameters; the masks are immutable and shared."""
        twin = MaskEnforcer.__new__(MaskEnforcer)
        memo[id(self)] = twin
        parameters = {name: copy.deepcopy(parameter, memo) for name, parameter in self._parameters.items()}
        twin.__setstate__({**self.__getstate__(), "_parameters": parameters})
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: everything but the hooks and the bits, which are made anew."""
        masks = {name: GradientMask(name, mask) for name, mask in self.masks.items()}
        return {**self.__dict__, "_gradient_masks": masks, "_handles": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mask the parameters that were copied or restored."""
        self.__dict__.update(state)
        self._mask(self._parameters)


def _fitting(parameters: Mapping[str, nn.Parameter], name: str, mask: Tensor) -> nn.Parameter:
    """The parameter that `mask` fits; raises UnknownNameError or UsageError where there is none."""
    if name not in parameters:
        raise unknown("masked parameter", name, list(parameters))
    parameter = parameters[name]
    if mask.dtype != torch.bool or mask.shape != parameter.shape:
        raise UsageError(
            f"the mask of '{name}' is {mask.dtype} of shape {tuple(mask.shape)}; "
            f"torch.bool of shape {tuple(parameter.shape)} is needed"
        )
    if parameter.element_size() not in _BITS:
        raise UsageError(f"the parameter '{name}' is {parameter.dtype}; masks need at most 8 bytes for each entry")
    return parameter


def _hooked(parameter: nn.Parameter, hook: GradientMask) -> RemovableHandle:
    """The handle of `hook` on a parameter, also on a frozen one, which may be thawed later."""
    required = parameter.requires_grad
    handle: RemovableHandle = parameter.requires_grad_(True).register_hook(hook)  # type: ignore[no-untyped-call]
    parameter.requires_grad_(required)
    return handle


def _state_of(optimizer: Optimizer, parameter: Tensor) -> list[Tensor]:
    values = optimizer.state.get(parameter, {}).values()
    return [value for value in values if isinstance(value, Tensor) and value.shape == parameter.shape]
