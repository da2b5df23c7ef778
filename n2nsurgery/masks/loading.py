"""What `load_state_dict` does on a pruned module, and on every part of it: the masks hold for the loaded weights.

Dense weights lose what lies outside the masks, which is told. Weights that were pruned with other masks would lose most
of what they kept, so they are refused before anything is loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.shards import is_sharded

_PRUNED = 0.5
"""Weights with at least this part of the zeros that the masks ask for count as pruned, others as dense."""


class LoadGuard:
    """The hooks of one module, below `path` in the pruned one, whose weights `enforcer` masks."""

    def __init__(self, enforcer: MaskEnforcer, path: str) -> None:
        self.enforcer = enforcer
        self.path = path

    def before(self, _: nn.Module, state: Mapping[str, Any], prefix: str, *_more: Any) -> None:  # noqa: ANN401 - a hook
        """Load-state pre-hook; raises UsageError for weights of other masks, and warns of dense ones."""
        if self.enforcer.loading or not self.enforcer.in_use:
            return
        self.enforcer.loading = not self.path  # then the guards of the parts have nothing left to look at
        inside = f"{self.path}." if self.path else ""
        names = [name for name in self.enforcer.masks if name.startswith(inside)]
        given = {name: state.get(prefix + name.removeprefix(inside)) for name in names}
        loaded = {name: v for name, v in given.items() if isinstance(v, Tensor) and not is_sharded(v)}
        try:
            _require_own(self.enforcer.masks, loaded)
        except UsageError:
            self.enforcer.loading = False
            raise

    def after(self, _: nn.Module, _keys: object) -> None:
        """Load-state post-hook: parameters may be new objects, and loaded weights may be dense."""
        if not self.path:
            self.enforcer.loading = False
        if not self.enforcer.loading:
            self.enforcer.rebind()


def guard_loads(module: nn.Module, enforcer: MaskEnforcer) -> None:
    """Let the masks of `module` hold for what is loaded into it, or into a part of it, from now on."""
    for path in dict.fromkeys(("", *(name.rpartition(".")[0] for name in enforcer.masks))):
        guard = LoadGuard(enforcer, path)
        part = module.get_submodule(path)
        part.register_load_state_dict_pre_hook(guard.before)  # type: ignore[no-untyped-call]
        part.register_load_state_dict_post_hook(guard.after)  # type: ignore[no-untyped-call]


@torch.no_grad()
def _require_own(masks: Mapping[str, Tensor], loaded: Mapping[str, Tensor]) -> None:
    """Return where `loaded` lies inside of `masks` or is dense; what it loses is then warned of."""
    fitting = {name: value for name, value in loaded.items() if value.shape == masks[name].shape}
    lost = {name: int(((value != 0) & ~masks[name].to(value.device)).sum()) for name, value in fitting.items()}
    lost = {name: count for name, count in lost.items() if count}
    if not lost:
        return
    zeros = sum(int((value == 0).sum()) for value in fitting.values())
    wanted = sum(int((~masks[name]).sum()) for name in fitting)
    total = sum(value.numel() for value in fitting.values()) - zeros
    outside = f"{sum(lost.values()):,} of {total:,} loaded weights lie outside the masks (in {listed(list(lost))})"
    if zeros >= _PRUNED * wanted:
        raise UsageError(
            f"{outside}: they were pruned with other masks, and this module would set them to zero. Load the artifact"
            " they belong to with n2nsurgery.load, or apply its masks first with apply_masks(module, masks)"
        )
    warnings.warn(f"{outside} and are set to zero: a dense network was loaded into a pruned one", stacklevel=8)
