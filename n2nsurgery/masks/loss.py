"""The default loss of scoring: cross-entropy on the model's primary output.

Without targets, seeded random class labels of the right shape stand in for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError

_LEAST_DIMENSIONS = 2
_LEAST_CLASSES = 2


def primary_output(output: Any) -> Tensor:  # noqa: ANN401 - whatever the model returns
    """The tensor that the loss looks at: the output itself, 'out' (or the first) of a dict, the first of a tuple.

    Raises UsageError where there is no tensor at that place.
    """
    value = output
    while not isinstance(value, Tensor):
        if isinstance(value, Mapping) and value:
            value = value["out"] if "out" in value else next(iter(value.values()))
        elif isinstance(value, (tuple, list)) and value:
            value = value[0]
        else:
            raise UsageError(
                f"the model returns {type(output).__name__}, in which no tensor comes first: "
                "wrap the model so that it returns one"
            )
    return value


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
