"""Training metric `pixel-accuracy`: the fraction of pixels, in [0, 1], where the highest class score is the label's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from n2nsurgery.training.training_metrics import hits, ratio


@dataclass(frozen=True, kw_only=True)
class PixelAccuracy:
    """`ignore_index`: a label that does not count."""

    ignore_index: int = -100

    higher_is_better: ClassVar[bool] = True

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(Hits, pixels that count); `outputs` and `targets` as for `class_labels`, with its errors."""
        return hits(outputs, targets, 1, self.ignore_index)

    def value(self, sums: Tensor) -> float:
        """Hits over pixels."""
        return ratio(sums[0], sums[1])


MEMBER = PixelAccuracy
