"""The default loss of scoring: cross-entropy on the model's primary output.

Without targets, seeded random class labels of the right shape stand in for them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError

_LEAST_DIMENSIONS = 2
_LEAST_CLASSES = 2


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits (N, classes, *positions) against class labels (N, *positions) or probabilities.

    Raises UsageError where there are fewer than two classes: the loss would be constant.
    """
    _classes(logits)
    return functional.cross_entropy(logits, targets)


def random_labels(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Class labels (N, *positions), uniformly random, for logits (N, classes, *positions), on their device."""
    shape = (logits.shape[0], *logits.shape[2:])
    return torch.randint(_classes(logits), shape, generator=generator).to(logits.device)


def _classes(logits: Tensor) -> int:
    if logits.dim() < _LEAST_DIMENSIONS or logits.shape[1] < _LEAST_CLASSES:
        raise UsageError(
            f"cross-entropy needs an output (N, classes, ...) with at least two classes, not {tuple(logits.shape)}: "
            "give a loss of your own"
        )
    return logits.shape[1]
