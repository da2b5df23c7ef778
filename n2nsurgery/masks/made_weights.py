"""Masks of layers that multiply with a weight which they make of their own: see `graph.made_weight`.

Such a layer asks at every call which entries are pruned. It does so by an object that is known here by its place alone:
the attribute `n2n_entries` of what has taken the place of the layer's forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def pruned_entries(layer: nn.Module) -> Any:  # noqa: ANN401 - see above
    """What `layer` asks; None for every other layer."""
    return getattr(vars(layer).get("forward"), "n2n_entries", None)


def prune_made(root: nn.Module | None, masks: Mapping[str, Tensor | None]) -> None:
    """Where layers below `root` make their weights of the parameters that `masks` names, prune by these from now on."""
    for name, mask in masks.items():
        *path, attribute = name.split(".")
        layer = root
        for part in path:  # of a copy that is being made there may be a part only
            layer = None if layer is None else vars(layer).get("_modules", {}).get(part)
        entries = None if layer is None or attribute != "weight" else pruned_entries(layer)
        if entries is not None:
            entries.pruned = None if mask is None else ~mask
