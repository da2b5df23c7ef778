"""A move of torch, carried out on label arrays by torch itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_leaves, tree_unflatten

from n2nsurgery.graph.channels.labels import Labels, base_of


def moved(
    call: Callable[[Any], Any],
    constants: Sequence[Any],
    layout: TreeSpec,
    places: Sequence[int],
    given: Sequence[Labels],
) -> list[Labels]:
    """What `call` returns for its arguments, `constants` in their `layout`, with label arrays at `places`."""
    leaves = list(constants)
    for place, labels in zip(places, given, strict=True):
        leaves[place] = as_tensor(labels)
    with torch.no_grad():
        result = call(tree_unflatten(leaves, layout))
    return [as_labels(leaf) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def as_tensor(labels: Labels) -> Tensor:
    """Labels in double precision, which holds integers up to 2^53: some moves of torch know no integers."""
    base = np.ascontiguousarray(base_of(labels), dtype=np.float64)
    return torch.from_numpy(base).expand(labels.shape)


def as_labels(tensor: Tensor) -> Labels:
    """The inverse of `as_tensor`; a view that repeats stays one."""
    array = tensor.numpy()
    base = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]
    return np.broadcast_to(base.astype(np.int64), array.shape)
