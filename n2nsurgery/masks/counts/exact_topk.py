"""Exact top-k: always k weights, ties broken by flat index.

A threshold alone prunes the wrong number wherever scores are equal (all-zero gradients, constant initializations).
Here weights are ordered by (score descending, position ascending) and the first k are kept, so that with the same
scores a smaller k always keeps a subset of what a larger k keeps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError, UsageError


def topk(scores: Tensor, k: int, *, keep: Tensor | None = None) -> Tensor:
    """A boolean tensor of the shape of `scores` with exactly `k` True: the highest scores, ties by flat index.

    `keep` (boolean, same shape) is kept in any case and counts towards `k`. -inf is taken only where nothing else
    is left. Raises UsageError for NaN scores or k outside [0, numel], BudgetError where `keep` holds more than `k`.
    """
    return topk_global({"scores": scores}, k, keep=None if keep is None else {"scores": keep})["scores"]


def topk_global(scores: Mapping[str, Tensor], k: int, *, keep: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Boolean tensors with exactly `k` True in all: the highest scores of all tensors together.

    Ties are broken by the order of the mapping, then by flat index. `keep` (all names) and errors as for `topk`.
    """
    if keep is not None and any(mask.any() for mask in keep.values()):
        return _topk_beside(scores, k, keep)
    flat = {name: _as_array(name, score) for name, score in scores.items()}
    total = sum(values.size for values in flat.values())
    if not 0 <= k <= total:
        raise UsageError(f"{k:,} weights cannot be kept of {total:,}: k must lie in [0, {total:,}]")
    if k in (0, total):
        return {name: torch.full(score.shape, k > 0, dtype=torch.bool) for name, score in scores.items()}
    threshold = _kth_largest(flat, k)
    ties = k - sum(int(np.count_nonzero(values > threshold)) for values in flat.values())
    masks: dict[str, Tensor] = {}
    for name, values in flat.items():
        kept = values > threshold
        equal = np.flatnonzero(values == threshold)[:ties]
        kept[equal] = True
        ties -= equal.size
        masks[name] = torch.from_numpy(kept).reshape(scores[name].shape)
    return masks


def _topk_beside(scores: Mapping[str, Tensor], k: int, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`topk_global` among the weights outside `keep`, for what `keep` leaves of `k`."""
    flat = {name: torch.from_numpy(_as_array(name, score)) for name, score in scores.items()}
    guaranteed = sum(int(mask.count_nonzero()) for mask in keep.values())
    if guaranteed > k:
        raise BudgetError(f"{guaranteed:,} weights are to be kept in any case, and only {k:,} may be kept")
    free = {name: ~keep[name].reshape(-1) for name in scores}
    chosen = topk_global({name: values[free[name]] for name, values in flat.items()}, k - guaranteed)
    return {
        name: keep[name].reshape(-1).masked_scatter(free[name], chosen[name]).view_as(keep[name]) for name in scores
    }


def _as_array(name: str, scores: Tensor) -> np.ndarray:
    """The scores as a flat float32 or float64 array; UsageError where one is NaN."""
    values = scores.detach().cpu().reshape(-1)
    array: np.ndarray = (values if values.dtype in (torch.float32, torch.float64) else _widened(values)).numpy()
    if array.size and np.isnan(array.max()):
        raise UsageError(f"{int(np.isnan(array).sum()):,} scores of '{name}' are NaN; scores must be numbers")
    return array


def _widened(values: Tensor) -> Tensor:
    """Half precision as float32, everything else as float64: no two different scores become equal."""
    return values.float() if values.is_floating_point() else values.double()


def _kth_largest(flat: Mapping[str, np.ndarray], k: int) -> np.floating:
    """The k-th largest of all values (1 <= k <= their number), by selection on one copy."""
    everything = np.concatenate(list(flat.values()))
    position = everything.size - k
    everything.partition(position)
    threshold: np.floating = everything[position]
    return threshold
