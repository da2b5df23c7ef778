"""Running sums of loss and accuracy, kept on the device: a GPU is asked for a number only when one is reported.

The first step whose loss is not finite is noted there too, so that it can be named although it is looked up later.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from n2nsurgery.core.errors import RunError

_RANKED = 5


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over `samples` predictions: the loss, and the fractions whose label is first, or among the first five."""

    loss: float
    top1: float
    top5: float
    samples: int


class Meter:
    """Sums over predictions since the last `reset`."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, top-1, top-5, predictions
        self._bad = torch.full((), -1, dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, targets: Tensor, *, step: int = 0) -> None:
        """Take in one batch: its mean loss, logits (N, classes, ...) and class labels or probabilities."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        ranked = logits.topk(min(_RANKED, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)
        count = labels.numel()
        first, among = ranked.select(1, 0).sum(), ranked.sum()
        self._sums += torch.stack(
            [loss.double() * count, first.double(), among.double(), first.new_tensor(count).double()]
        )
        self._bad = torch.where((self._bad < 0) & ~torch.isfinite(loss), step, self._bad)

    def require_finite(self) -> None:
        """Return where every loss was finite; raises RunError that names the first step whose loss was not."""
        step = int(self._bad)
        if step >= 0:
            raise RunError(f"the loss of step {step:,} is not finite; a lower learning rate or clip_norm may help")

    @property
    def sums(self) -> Tensor:
        """The four sums: loss, top-1, top-5, predictions (float64)."""
        return self._sums

    def reset(self, sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)) -> None:
        """Start anew, or from saved sums."""
        self._sums.copy_(torch.tensor(sums, dtype=torch.float64))


def score_of(sums: Tensor) -> Score:
    """The means that the four sums of one meter, or of several added up, stand for."""
    loss, top1, top5, count = sums.tolist()
    return Score(loss=loss / count, top1=top1 / count, top5=top5 / count, samples=int(count))
