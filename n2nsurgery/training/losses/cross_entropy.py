"""Loss `cross-entropy`: of class scores against class labels or class probabilities.

    -sum_c t_c log softmax(outputs)_c,   t = (1 - s) target + s / classes

with the label smoothing s, averaged over samples and positions. With class weights the mean over labels is weighted,
as torch.nn.functional.cross_entropy has it.
Source of the smoothing: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import at_least, require, within


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """`label_smoothing` in [0, 1). `class_weights`: one for each class. `ignore_index`: a label that does not count."""

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    ignore_index: int = -100

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(within(self.label_smoothing, 0, 1), "loss.label_smoothing", self.label_smoothing, "in [0, 1)")
        weights = self.class_weights or ()
        holds = self.class_weights is None or (any(weights) and all(at_least(weight, 0) for weight in weights))
        require(holds, "loss.class_weights", self.class_weights, "numbers from 0, not all 0, or left out")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over labels that count; `outputs` (N, classes, ...), `targets` (N, ...) or of the outputs' shape.

        Raises UsageError where the number of class weights is not that of the classes.
        """
        weights = None
        if self.class_weights is not None:
            if len(self.class_weights) != outputs.shape[1]:
                raise UsageError(
                    f"loss.class_weights has {len(self.class_weights)} numbers; give one for each of the "
                    f"{outputs.shape[1]} classes"
                )
            weights = outputs.new_tensor(self.class_weights)
        return functional.cross_entropy(
            outputs, targets, weight=weights, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing
        )


MEMBER = CrossEntropy
