"""Classification: top-1 and top-5 accuracy.

    top-k = samples whose class is among the k highest scores / samples

Outputs are scores (N, classes, ...), targets class indices (N, ...) or probabilities (N, classes, ...), whose largest
counts as the class. Where there are fewer than five classes, top-5 looks at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

_RANKED = 5


@dataclass(frozen=True, kw_only=True)
class Classification:
    """`top1` and `top5` in [0, 1]; higher is better."""

    metrics: ClassVar[tuple[str, ...]] = ("top1", "top5")
    lower_is_better: ClassVar[frozenset[str]] = frozenset()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return functional.cross_entropy(outputs, targets)

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How often the class was first, how often among the first five, and of how many predictions: float64 (3,)."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        ranked = outputs.topk(min(_RANKED, outputs.shape[1]), dim=1).indices == labels.unsqueeze(1)
        counts = [ranked.select(1, 0).sum(), ranked.sum(), ranked.new_tensor(labels.numel(), dtype=torch.int64)]
        return torch.stack(counts).double()

    def values(self, sums: Tensor) -> dict[str, float]:
        """The metrics of added-up sums."""
        first, among, count = sums.tolist()
        return {"top1": first / count, "top5": among / count}


MEMBER = Classification
