"""The child of a pruned model that holds its skips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.skips.kind import build
from n2nsurgery.skips.spec import SkipSpec


class SkipModules(nn.ModuleDict):
    """The skips by number. Called, it returns its input: an nn.Sequential calls every child that it has."""

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - whatever the child before it returns
        """`x` itself."""
        return x


def add_skip_modules(module: nn.Module, skips: Sequence[SkipSpec]) -> None:
    """Add the modules of `skips`, with zero weights, below one child of `module`.

    Each has the dtype and device of its target's layer. Raises UsageError where the child's name is taken.
    """
    if not skips:
        return
    path, _, _ = skips[0].name.rpartition(".")
    if hasattr(module, path):
        raise UsageError(f"{type(module).__name__} has an attribute '{path}', the name of the skips: rename it")
    container = SkipModules()
    for skip in skips:
        weight = next(module.get_submodule(_owner(module, skip)).parameters())
        container[skip.name.rpartition(".")[2]] = build(skip).to(device=weight.device, dtype=weight.dtype)
    module.add_module(path, container)


def remove_skip_modules(module: nn.Module, skips: Sequence[SkipSpec]) -> None:
    """Remove what `add_skip_modules` has added."""
    delattr(module, skips[0].name.rpartition(".")[0])


def _owner(module: nn.Module, skip: SkipSpec) -> str:
    """The innermost module above the target that has parameters; its dtype and device are the skip's."""
    path = skip.pair.target
    while path:
        try:
            if next(module.get_submodule(path).parameters(), None) is not None:
                return path
        except AttributeError:
            pass
        path = path.rpartition(".")[0]
    return ""
