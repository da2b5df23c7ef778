"""Several labels for each sample: F1 and the fraction of samples with every label right.

With tp, fp and fn counted for each label over all samples:

    f1        the mean over labels of 2 tp / (2 tp + fp + fn)      (macro; a label that neither occurs nor is predicted
                                                                    is left out of the mean)
    micro_f1  the same quotient of the sums over all labels
    exact     samples whose predicted set is the true set / samples

Outputs are logits (N, labels), of which those above 0 (probability 1/2) are predicted; targets are 0 or 1, (N, labels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class MultiLabel:
    """`f1`, `micro_f1` and `exact` in [0, 1]; higher is better."""

    metrics: ClassVar[tuple[str, ...]] = ("f1", "micro_f1", "exact")
    lower_is_better: ClassVar[frozenset[str]] = frozenset()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy of logits."""
        return functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Samples, samples that are all right, and tp, fp and fn of each label: float64 (2 + 3 labels,)."""
        if outputs.shape != targets.shape or outputs.ndim != 2:  # noqa: PLR2004 - samples and labels
            raise UsageError(
                f"multilabel needs outputs and targets of one shape (N, labels); they have {tuple(outputs.shape)} and "
                f"{tuple(targets.shape)}"
            )
        said, true = outputs > 0, targets > 0
        whole = torch.stack([(said == true).all(1).sum(), said.new_tensor(len(said), dtype=torch.int64)])
        parts = [(said & true).sum(0), (said & ~true).sum(0), (~said & true).sum(0)]
        return torch.cat([whole, *parts]).double()

    def values(self, sums: Tensor) -> dict[str, float]:
        """The metrics of added-up sums."""
        exact, samples = sums[:2].tolist()
        hits, wrong, missed = sums[2:].view(3, -1)
        errors = 2 * hits + wrong + missed
        seen = errors > 0
        by_label = (2 * hits / errors)[seen]
        total = float(errors.sum())
        return {
            "f1": float(by_label.mean()) if len(by_label) else 0.0,
            "micro_f1": float(2 * hits.sum()) / total if total else 0.0,
            "exact": exact / samples,
        }


MEMBER = MultiLabel
