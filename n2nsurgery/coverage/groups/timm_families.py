"""One model of each family of timm: the one whose name says that it is the smallest."""

from __future__ import annotations

import importlib
import re

from torch import nn

from n2nsurgery.coverage.catalogue import Inputs, run_at
from n2nsurgery.models.catalog import resolve_model

_SMALL = 64
# Words for sizes in names, the smallest first; a name without one counts as medium.
_SIZES = (
    "test", "atto", "femto", "pico", "nano", "xxs", "xxtiny", "zepto", "xs", "xtiny", "micro", "mini", "tiny", "ti",
    "small", "s", "18", "26", "b0", "base", "b",
)  # fmt: skip
_MEDIUM = _SIZES.index("18")


def names() -> tuple[str, ...]:
    """The smallest model of every family of the installed timm, in the order of the families."""
    timm = importlib.import_module("timm")
    families = (timm.list_models(module=module) for module in timm.list_modules())
    return tuple(dict.fromkeys(min(family, key=_size) for family in families if family))


def _size(name: str) -> tuple[int, int, str]:
    words = re.split(r"[_.]", name)
    ranks = [_SIZES.index(word) for word in words if word in _SIZES]
    return (min(ranks, default=_MEDIUM), len(name), name)


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The model with two small images, or images of its own size where it takes no others."""

    def make(size: int | None) -> tuple[nn.Module, Inputs]:
        bundle = resolve_model(f"timm:{name}", seed=0, input_size=size)
        return bundle.module, bundle.example_inputs

    made: tuple[nn.Module, Inputs] = run_at((_SMALL, 2 * _SMALL, None), make)
    return made
