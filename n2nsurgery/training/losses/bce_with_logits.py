"""Loss `bce-with-logits`: binary cross-entropy of several labels at once.

    -mean (p t log sigmoid(z) + (1 - t) log (1 - sigmoid(z))), over all elements

with outputs z, targets t in [0, 1] and the weight p of positive labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import above, require


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy:
    """`positive_weight`: how much a positive label counts beside a negative one, above 0."""

    positive_weight: float = 1.0

    def __post_init__(self) -> None:
        """Raise UsageError for a weight out of range."""
        require(above(self.positive_weight, 0), "loss.positive_weight", self.positive_weight, "above 0")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over all elements; raises UsageError where the shapes differ."""
        if outputs.shape != targets.shape:
            raise UsageError(
                f"loss bce-with-logits compares outputs of shape {tuple(outputs.shape)} with targets of shape "
                f"{tuple(targets.shape)}; give one target in [0, 1] for each output"
            )
        weight = None if self.positive_weight == 1 else outputs.new_tensor(self.positive_weight)
        return functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), pos_weight=weight)


MEMBER = BinaryCrossEntropy
