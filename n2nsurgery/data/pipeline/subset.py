"""Which samples are trained on: a validation split carved out, and a limit that serves every class equally.

Both take the first samples of an order in which the classes alternate, each class in an order drawn from the seed. So
a smaller limit is a subset of a larger one, and the limit never takes a sample of the validation split.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator


def carve(targets: Tensor, share: float, *, seed: int, purpose: str = "validation") -> tuple[Tensor, Tensor]:
    """Sorted indices (kept, carved) of the samples with `targets`: the carved ones have the classes' proportions.

    `share` is a fraction below 1 or a count. Raises UsageError where nothing would be carved or nothing kept.
    """
    total = targets.shape[0]
    count = round(share * total) if share < 1 else int(share)
    if not 0 < count < total:
        raise UsageError(f"{purpose} = {share} takes {count} of {total} samples; at least 1 has to be taken and 1 left")
    order = _alternating(targets, seed=seed, purpose=purpose, proportional=True)
    return order[count:].sort().values, order[:count].sort().values


def limited(targets: Tensor, limit: int, *, seed: int, split: Literal["train", "test"] = "train") -> Tensor:
    """Sorted indices of `limit` samples, equally many of each class as far as they reach; UsageError if too few."""
    total = targets.shape[0]
    if limit > total:
        name = {"train": "training"}.get(split, split)
        raise UsageError(f"{split}_limit = {limit}, but there are only {total} {name} samples")
    return _alternating(targets, seed=seed, purpose=f"{split}-limit", proportional=False)[:limit].sort().values


def _alternating(targets: Tensor, *, seed: int, purpose: str, proportional: bool) -> Tensor:
    """A permutation of the samples: ordered by rank within their class, relative to its size if proportional."""
    shuffled = torch.randperm(targets.shape[0], generator=torch_generator(seed, purpose))
    classes = targets[shuffled]
    by_class = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(by_class.shape[0]) - starts[classes[by_class]]
    key = (rank + 0.5) / counts[classes] if proportional else rank
    return shuffled[key.argsort(stable=True)]
