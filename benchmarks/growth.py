"""The pattern of a sparse network after one exchange of kept weights for others, as pure functions.

    drop    the n kept weights of least importance, n = round(fraction * kept), and no more than are free
    grow    the n weights of greatest interest among those that were not kept before

SET (Mocanu et al. 2018) drops by |w| and grows at random, RigL (Evci et al. 2020) grows by |g|, the gradient; both in
each layer by itself. Where all tensors share one ranking, importance has to be comparable between them: |w| over the
root mean square of the tensor's kept weights, or |w g|, the first-order change of the loss when the weight is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from n2nsurgery.masks.counts.exact_topk import topk_global

FIRST, EVERY, UNTIL = 60, 30, 0.75
Tensors = Mapping[str, Tensor]


def exchanged(masks: Tensors, importance: Tensors, interest: Tensors, fraction: float) -> dict[str, Tensor]:
    """Masks with as many kept weights in all as `masks`, `fraction` of them elsewhere, in whichever tensor.

    `importance` of kept weights and `interest` in others are finite; elsewhere their values do not matter unless they
    are NaN. Ties go by the order of the names, then by flat index, the first being kept and grown.
    """
    kept = sum(int(mask.count_nonzero()) for mask in masks.values())
    free = sum(mask.numel() for mask in masks.values()) - kept
    count = min(round(fraction * kept), free)
    left = {name: importance[name].masked_fill(~mask, -math.inf) for name, mask in masks.items()}
    open_ = {name: interest[name].masked_fill(mask, -math.inf) for name, mask in masks.items()}
    remaining, grown = topk_global(left, kept - count), topk_global(open_, count)
    return {name: remaining[name] | grown[name] for name in masks}


def exchanged_by_layer(masks: Tensors, importance: Tensors, interest: Tensors, fraction: float) -> dict[str, Tensor]:
    """`exchanged` in each tensor by itself: every one keeps its number."""
    return {
        name: exchanged({name: mask}, {name: importance[name]}, {name: interest[name]}, fraction)[name]
        for name, mask in masks.items()
    }


def relative_magnitude(weights: Tensors, masks: Tensors) -> dict[str, Tensor]:
    """|w| over the root mean square of the tensor's kept weights; zeros where those are zero or none."""
    found = {}
    for name, mask in masks.items():
        squares = weights[name].square().masked_fill(~mask, 0).sum() / mask.count_nonzero().clamp(min=1)
        found[name] = torch.where(squares > 0, weights[name].abs() / squares.sqrt(), 0.0)
    return found


def saliency(weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
    """|w g|."""
    return {name: (weights[name] * gradient).abs() for name, gradient in gradients.items()}


def fraction_at(step: int, steps: int, start: float) -> float:
    """The fraction exchanged at `step` (from 0) of `steps`: from `start` down to 0 in half a cosine, 0 between updates.

    An update is due every 30 steps from step 60 on, in the first 75 % of the steps.
    """
    end = UNTIL * steps
    if not FIRST <= step < end or (step - FIRST) % EVERY:
        return 0.0
    return start * (1 + math.cos(math.pi * step / end)) / 2
