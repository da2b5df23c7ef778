"""Pruned weights stay at exactly zero, at the cost of one pass over the gradients.

The gradient of every pruned entry is set to +0 before it is clipped and before the optimizer sees it. As all our
optimizers are element-wise, weights and optimizer state that start at zero then stay at zero: nothing has to be
masked after the step, and the norm that is clipped counts kept weights only. `apply` and `clear` establish the start.

Bits are and-ed rather than multiplied: inf * 0 is NaN, inf & 0 is +0, and both run at the speed of memory
(`masked_fill_` takes four times as long on a CPU, where it is not vectorized).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.core.names import unknown

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class MaskEnforcer(Protocol):
    """Whoever masks the gradients of a module while they are computed, and is suspended while the trainer does it."""

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Boolean masks by parameter name: True keeps the weight."""

    def suspended(self) -> AbstractContextManager[None]:
        """Inside, gradients are left alone; afterwards they are masked as before."""


class MaskedParameters:
    """The masked parameters of a module that lies on its device already."""

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Raises UsageError for a mask of no parameter, of another shape, or that is not boolean."""
        self.masks = masks
        parameters = dict(module.named_parameters(remove_duplicate=False))
        for name, mask in masks.items():
            if name not in parameters:
                raise unknown("masked parameter", name, list(parameters))
            if mask.dtype != torch.bool or mask.shape != parameters[name].shape:
                raise UsageError(
                    f"the mask of '{name}' is {mask.dtype} of shape {tuple(mask.shape)}; "
                    f"torch.bool of shape {tuple(parameters[name].shape)} is needed"
                )
        self._entries = {name: (parameters[name], _kept_bits(parameters[name], mask)) for name, mask in masks.items()}

    def in_force(self) -> dict[str, Tensor]:
        """The masks by which gradients are masked, read back from where that is done."""
        return {name: kept != 0 for name, (_, kept) in self._entries.items()}

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradient of every pruned weight to zero, whatever it is."""
        for parameter, kept in self._entries.values():
            if parameter.grad is not None:
                _and(parameter.grad, kept)

    @torch.no_grad()
    def apply(self) -> None:
        """Set every pruned weight to zero."""
        for parameter, kept in self._entries.values():
            _and(parameter, kept)

    @torch.no_grad()
    def clear(self, optimizer: Optimizer) -> None:
        """Set the optimizer's state of every pruned weight to zero."""
        for parameter, kept in self._entries.values():
            for state in _state_of(optimizer, parameter):
                _and(state, kept)

    @torch.no_grad()
    def require_zero(self, optimizer: Optimizer, average: Mapping[str, Tensor] | None = None) -> None:
        """Return where every pruned weight is zero, in the optimizer's state and in `average` too.

        Raises VerificationError with the parameter and the number of entries.
        """
        for name, (parameter, kept) in self._entries.items():
            places: dict[str, list[Tensor]] = {
                "the weights": [parameter],
                "the optimizer's state": _state_of(optimizer, parameter),
            }
            places["the averaged weights"] = [average[name]] if average is not None else []
            for place, tensors in places.items():
                moved = sum(int(((tensor != 0) & (kept == 0)).sum()) for tensor in tensors)
                if moved:
                    raise VerificationError(
                        f"{moved:,} pruned entries of '{name}' are no longer zero in {place}: "
                        "something other than the optimizer of this run has written to them"
                    )


def _kept_bits(parameter: Tensor, mask: Tensor) -> Tensor:
    """All bits set where `mask` keeps and none elsewhere, in the memory layout of `parameter`."""
    bits = torch.empty_like(parameter, dtype=_BITS[parameter.element_size()], requires_grad=False)
    return bits.copy_(mask).neg_()


def _and(tensor: Tensor, kept: Tensor) -> None:
    tensor.detach().view(kept.dtype).bitwise_and_(kept)


def _state_of(optimizer: Optimizer, parameter: Tensor) -> list[Tensor]:
    values = optimizer.state.get(parameter, {}).values()
    return [value for value in values if isinstance(value, Tensor) and value.shape == parameter.shape]
