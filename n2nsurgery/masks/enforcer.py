"""MaskEnforcer: pruned weights stay at exactly zero, whatever trains the network.

Every masked parameter carries a gradient hook that zeroes the gradient of its pruned entries. A pruned weight starts at
zero, so SGD with momentum and weight decay, Adam(W), gradient accumulation, AMP and EMA all leave it at exactly zero.
For an optimizer that holds momentum from before pruning, or that mixes entries (Muon and other second-order methods),
`attach` masks the weights and the optimizer's state after every step. A training loop of its own may suspend the hooks
and call `mask_gradients` once for each step instead, which saves a copy of each gradient.

Bits are and-ed rather than multiplied: inf * 0 is NaN, inf & 0 is +0, and both run at the speed of memory
(`masked_fill_` takes four times as long on a CPU, where it is not vectorized).

state_dict keys do not change: there is no parametrization and no buffer. The enforcer follows deepcopy and pickling
(the hooks of a parameter do not), `.to` and load_state_dict. Masks belong to names: before a step of an optimizer a
parameter that has taken the place of another is masked in its stead. A parameter that is divided among processes gets
no gradient by a hook; its gradient is masked then, too.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.core.names import listed, unknown
from n2nsurgery.masks.made_weights import prune_made
from n2nsurgery.masks.shards import is_sharded, local_part, shard_like

_LIVE: weakref.WeakSet[MaskEnforcer] = weakref.WeakSet()
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class GradientMask:
    """The mask of the parameter `name` as bits, and its gradient hook."""

    def __init__(self, name: str, mask: Tensor) -> None:
        self.name = name
        self._mask = mask
        self._part = mask
        self._bits: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def lay_out(self, parameter: Tensor) -> None:
        """Hold the bits in the memory layout of `parameter`, so that both are read in one pass, and no others."""
        self._bits = {}
        self._part = shard_like(self._mask, parameter)
        self.bits(parameter)

    def bits(self, tensor: Tensor) -> Tensor:
        """All bits set where the mask keeps and none elsewhere, on the device and in the precision of `tensor`.

        Of a tensor that is divided among processes, those of the part that is here.
        """
        tensor = local_part(tensor)
        integer = _BITS[tensor.element_size()]
        bits = self._bits.get((tensor.device, integer))
        if bits is None:
            bits = torch.empty_like(tensor, dtype=integer, requires_grad=False).copy_(self._part).neg_()
            self._bits[tensor.device, integer] = bits
        return bits

    def zero_(self, tensor: Tensor) -> None:
        """Set the pruned entries of `tensor` to +0, in place."""
        bits = self.bits(tensor)
        local_part(tensor.detach()).view(bits.dtype).bitwise_and_(bits)

    def moved(self, tensor: Tensor) -> int:
        """How many pruned entries of `tensor`, as far as they are here, are not zero."""
        return int(((local_part(tensor) != 0) & (self.bits(tensor) == 0)).sum())

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
        self.loading = False
        self.bind(module)

    def bind(self, module: nn.Module) -> None:
        """Mask the parameters that `module` has now, as they lie in memory, and no others."""
        self._root = weakref.ref(module)
        parameters = dict(module.named_parameters(remove_duplicate=False))
        self._mask({name: _fitting(parameters, name, mask) for name, mask in self.masks.items()})

    def replace(self, masks: Mapping[str, Tensor]) -> None:
        """Mask the same parameters by other masks from now on; weights that are kept anew start as they are, at zero.

        `masks`: for the names that there are, of the shapes that they have.
        """
        self.masks = masks
        self._gradient_masks = {name: GradientMask(name, mask) for name, mask in masks.items()}
        self._mask(self._parameters)

    @property
    def in_use(self) -> bool:
        """Whether anything is masked: not after `release`."""
        return bool(self._parameters)

    def rebind(self) -> None:
        """Mask the parameters that the module has now, unless its masks were let go."""
        root = self._root()
        if self.in_use and root is not None:
            self.bind(root)

    def before_step(self, optimizer: Optimizer) -> None:
        """Mask what has taken the place of a masked parameter, and gradients that no hook has seen.

        Raises UsageError where `optimizer` trains the module and a masked parameter is gone.
        """
        root = self._root()
        if root is None or self._suspended or not self._parameters:
            return
        replaced = any(_at(root, name) is not parameter for name, parameter in self._parameters.items())
        if replaced:
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            if held.isdisjoint(map(id, root.parameters())):
                return  # of another model
            gone = [name for name in self._parameters if not isinstance(_at(root, name), nn.Parameter)]
            if gone:
                raise UsageError(
                    f"{listed(gone)} of the pruned module is no longer a parameter: a parametrization or a quantizer"
                    " has taken its place, so its mask cannot hold. Undo that before training"
                )
            self.bind(root)
        if replaced or any(is_sharded(parameter) for parameter in self._parameters.values()):
            self.mask_gradients()

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
        _LIVE.add(self) if parameters else _LIVE.discard(self)
        prune_made(self._root(), self.masks if parameters else dict.fromkeys(self.masks))
        for name, parameter in parameters.items():
            self._gradient_masks[name].lay_out(parameter)
        hooked = {} if self._suspended else {name: p for name, p in parameters.items() if not is_sharded(p)}
        self._handles = [_hooked(parameter, self._gradient_masks[name]) for name, parameter in hooked.items()]
        self.apply()

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskEnforcer:
        """An enforcer of the copied parameters; the masks are immutable and shared.

        Warns where pruned weights have moved: those of the copy are zero again.
        """
        twin = MaskEnforcer.__new__(MaskEnforcer)
        memo[id(self)] = twin
        counts = {name: self._gradient_masks[name].moved(p.detach()) for name, p in self._parameters.items()}
        if moved := [name for name, count in counts.items() if count]:
            warnings.warn(
                f"{sum(counts.values()):,} pruned weights have moved (in {listed(moved)}) and are zero in the copy,"
                " which computes something else than the original: call apply_masks() or enforce(optimizer)",
                stacklevel=2,
            )
        state = self.__getstate__()
        copied = {name: copy.deepcopy(state[name], memo) for name in ("_parameters", "_root")}
        twin.__setstate__({**state, **copied})
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: everything but the hooks and the bits, which are made anew."""
        masks = {name: GradientMask(name, mask) for name, mask in self.masks.items()}
        return {**self.__dict__, "_gradient_masks": masks, "_handles": [], "_root": self._root()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mask the parameters that were copied or restored."""
        self.__dict__.update(state)
        root = state["_root"]
        self._root = weakref.ref(nn.Module() if root is None else root)  # the original's module may be gone
        self._mask(self._parameters)


def live() -> tuple[MaskEnforcer, ...]:
    """Every enforcer that masks parameters now."""
    return tuple(_LIVE)


def _at(root: nn.Module, name: str) -> Tensor | None:
    """What stands under the name of a parameter; None where nothing does."""
    *path, attribute = name.split(".")
    module: nn.Module | None = root
    for part in path:
        module = module._modules.get(part) if module is not None else None  # noqa: SLF001 - get_parameter is slow
    return module._parameters.get(attribute) if module is not None else None  # noqa: SLF001


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
