"""Hooks of a module on its twin: those of skips that run in hooks, and a user's own."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch import nn

_TABLES = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def carry_hooks(pairs: Iterable[tuple[nn.Module, nn.Module]], memo: dict[int, Any]) -> None:
    """Give each second module copies of the hooks of the first, made with `memo` as by `copy.deepcopy`.

    A hook that is a method of an object belongs to the copy of that object; a function stays what it is.
    """
    for original, twin in pairs:
        for name in _TABLES:
            twin.__dict__[name] = copy.deepcopy(original.__dict__[name], memo)
