"""What every adapter does: masks in force from the first step to the last, and proven before each checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import nn
from torch.optim import Optimizer

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.masks.attachment import attach, enforcers_in
from n2nsurgery.masks.maskset import MaskSet


class Removable(Protocol):
    """A hook's handle."""

    def remove(self) -> None:
        """Take the hook away."""


class MaskedTraining:
    """The masks of the pruned modules in `root`, while another loop trains them with `optimizers`."""

    def __init__(self, root: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Mask weights and optimizer state now, and again after every step.

        Raises UsageError where `root` has no masks, or none of its parameters is in an optimizer; warns where some are
        not.
        """
        self._optimizers = tuple(map(_unwrapped, optimizers))
        self._handles: list[Removable] = [attach(root, *self._optimizers)]
        self._enforcers = enforcers_in(root)
        for enforcer in self._enforcers:  # a checkpoint may have brought other weights and momentum
            enforcer.apply()
            for optimizer in self._optimizers:
                enforcer.clear(optimizer)

    def require_zero(self) -> None:
        """Return where every pruned weight and its optimizer state are zero; raises VerificationError."""
        for enforcer in self._enforcers:
            enforcer.require_zero(*self._optimizers)

    def until_end(self, *handles: Removable) -> None:
        """Remove `handles` when the training ends."""
        self._handles.extend(handles)

    def end(self) -> None:
        """Prove the masks once more and let go of the optimizers; raises VerificationError."""
        for handle in self._handles:
            handle.remove()
        self.require_zero()


def masks_in(root: nn.Module) -> str:
    """A fingerprint of all masks in `root`, by which a checkpoint can tell whether it belongs to them."""
    return fingerprint([MaskSet(enforcer.masks).fingerprint for enforcer in enforcers_in(root)])


def require_same_masks(root: nn.Module, saved: str | None) -> None:
    """Return where `saved`, which `masks_in` gave, is that of `root`, or None; raises UsageError."""
    if saved is not None and saved != masks_in(root):
        raise UsageError(
            f"the checkpoint belongs to a network of other masks ({saved[:12]}; this one has {masks_in(root)[:12]}): "
            "resume with the pruned model that was trained, as n2nsurgery.load gives it"
        )


def _unwrapped(optimizer: Optimizer) -> Optimizer:
    """The torch optimizer inside of the wrappers of Accelerate and Lightning, which has the hooks."""
    inner = getattr(optimizer, "optimizer", None)
    return _unwrapped(inner) if isinstance(inner, Optimizer) else optimizer
