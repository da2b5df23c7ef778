"""Masks that stay with a module, and optimizers that are masked after every step.

apply_masks(module, masks)       pruned weights are zero from now on, and stay zero in training
attach(module, optimizer)        also under an optimizer that moves zeros on its own
"""

from __future__ import annotations

import functools
import itertools
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.masks.enforcer import GradientMask, MaskEnforcer, live
from n2nsurgery.masks.loading import guard_loads
from n2nsurgery.masks.maskset import MaskSet

_ATTRIBUTE = "_n2n_mask_enforcer"
_SEEN: weakref.WeakSet[Optimizer] = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Optimizers whose steps are followed by masking; `remove` ends it."""

    handles: tuple[RemovableHandle, ...]

    def remove(self) -> None:
        """Leave the optimizers as they were before `attach`."""
        for handle in self.handles:
            handle.remove()


def apply_masks(module: nn.Module, masks: MaskSet) -> None:
    """From now on the entries of `module`'s parameters outside `masks` are zero, and stay zero in training.

    Masks that were applied before are let go: their entries may take values again. Raises UnknownNameError for a mask
    of no parameter, UsageError for one of another shape.
    """
    former = enforcer_of(module)
    enforcer = MaskEnforcer(module, masks)
    if former is not None:
        former.release()
        enforcer.bind(module)
    module.__dict__[_ATTRIBUTE] = enforcer
    guard_loads(module, enforcer)
    _watch_optimizers()


def enforcer_of(module: nn.Module) -> MaskEnforcer | None:
    """The enforcer of a pruned module, None for any other."""
    return module.__dict__.get(_ATTRIBUTE)


def require_unpruned(root: nn.Module) -> None:
    """Return where no part of `root` is pruned; raises UsageError with the module, or with a parameter that has a mask.

    A parameter is found where its pruned module is not in `root`, as in a slice of an nn.Sequential.
    """
    modules = (path for path, module in root.named_modules() if (e := enforcer_of(module)) is not None and e.in_use)
    parameters = (name for name, parameter in root.named_parameters() if _hooks_of(parameter))
    if (found := next(itertools.chain(modules, parameters), None)) is not None:
        part = f"'{found}' of {type(root).__name__}" if found else type(root).__name__
        raise UsageError(f"{part} was pruned before: start again from the dense model")


def masked_modules(root: nn.Module) -> tuple[nn.Module, ...]:
    """The pruned modules in `root`: itself, or inside of DDP, torch.compile, or a module that holds it.

    Raises UsageError where there is none.
    """
    found = tuple(module for module in root.modules() if enforcer_of(module) is not None)
    if not found:
        raise UsageError(f"{type(root).__name__} was not pruned: it has no masks to enforce")
    return found


def enforcers_in(root: nn.Module) -> tuple[MaskEnforcer, ...]:
    """The enforcers of the pruned modules in `root`; raises UsageError where there is none."""
    return tuple(enforcer for module in masked_modules(root) if (enforcer := enforcer_of(module)) is not None)


def attach(root: nn.Module, *optimizers: Optimizer) -> Attachment:
    """Mask the weights and the state of `optimizers` after each of their steps.

    `root`: a pruned module or one that holds it. Needed where an optimizer holds momentum from before pruning, or moves
    zeros on its own. Warns (UserWarning) where trainable parameters of the pruned module are in none of the optimizers.
    Raises UsageError where none of its parameters is, and where `root` has no masks.
    """
    modules = masked_modules(root)
    _require_held(modules, optimizers)

    def mask(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        for module in modules:
            enforcer = enforcer_of(module)  # its masks may have been replaced meanwhile
            assert enforcer is not None
            if not enforcer.masks_parameters_of(module):
                enforcer.bind(module)
            enforcer.apply()
            enforcer.clear(optimizer)

    return Attachment(handles=tuple(optimizer.register_step_post_hook(mask) for optimizer in optimizers))


def _require_held(modules: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
    held = {id(parameter) for each in optimizers for group in each.param_groups for parameter in group["params"]}
    named = [(name, parameter) for module in modules for name, parameter in module.named_parameters()]
    if not any(id(parameter) in held for _, parameter in named):
        raise UsageError(
            f"{' and '.join(type(each).__name__ for each in optimizers) or 'no optimizer'} has none of the pruned "
            "module's parameters, so it would train nothing of it: pruning returns a copy of the model. Make the "
            "optimizer from the pruned module: SGD(pruned.module.parameters(), ...)"
        )
    trainable = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    missing = [name for name, parameter in trainable if id(parameter) not in held]
    if missing:
        warnings.warn(
            f"{len(missing)} of the pruned module's {len(trainable)} trainable parameters are in no optimizer that was "
            f"given ({listed(missing)}): give all optimizers in one call, or freeze these parameters",
            stacklevel=4,
        )


@functools.cache
def _watch_optimizers() -> tuple[RemovableHandle, RemovableHandle]:
    """The handles of `_follow_parameters` and `_warn_of_moved`, which every optimizer calls from now on."""
    return register_optimizer_step_pre_hook(_follow_parameters), register_optimizer_step_post_hook(_warn_of_moved)


def _follow_parameters(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
    """Before every step: see `MaskEnforcer.before_step`."""
    for enforcer in live():
        enforcer.before_step(optimizer)


def _warn_of_moved(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
    """After an optimizer's first step: warn where it has moved pruned weights. Attached ones have masked them again."""
    if optimizer in _SEEN:
        return
    _SEEN.add(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    counts = {mask.name: mask.moved(parameter) for parameter in parameters for mask in _hooks_of(parameter)}
    moved = [name for name, count in counts.items() if count]
    if moved:
        warnings.warn(
            f"the first step of {type(optimizer).__name__} has moved {sum(counts.values()):,} pruned weights (in "
            f"{listed(moved)}): it mixes entries, or holds momentum from before pruning. Call "
            "`pruned.enforce(optimizer)` before training",
            stacklevel=3,
        )


def _hooks_of(parameter: Tensor) -> list[GradientMask]:
    hooks = getattr(parameter, "_backward_hooks", None) or {}
    return [hook for hook in hooks.values() if isinstance(hook, GradientMask)]
