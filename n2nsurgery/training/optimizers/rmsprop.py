"""Optimizer `rmsprop`: steps scaled by a running mean of squared gradients.

    v = alpha v + (1 - alpha) g^2,   b = momentum b + g / (sqrt(v) + eps),   w = w - lr b

An `eps` above 0 keeps the step of a weight whose gradients are zero at zero.
Source: torch.optim.RMSprop; Hinton, lecture 6e of "Neural networks for machine learning", 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2nsurgery.core.validation import above, require, within
from n2nsurgery.training.optimizers import Groups, require_decay


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """`alpha`, `momentum` in [0, 1). `eps` above 0. `weight_decay`: an L2 term in the gradient."""

    lr: float = 1e-2
    alpha: float = 0.99
    momentum: float = 0.0
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(above(self.lr, 0), "optimizer.lr", self.lr, "above 0")
        require(within(self.alpha, 0, 1), "optimizer.alpha", self.alpha, "in [0, 1)")
        require(within(self.momentum, 0, 1), "optimizer.momentum", self.momentum, "in [0, 1)")
        require(above(self.eps, 0), "optimizer.eps", self.eps, "above 0")
        require_decay(self.weight_decay)

    def __call__(self, groups: Groups) -> torch.optim.RMSprop:
        """A new RMSprop optimizer of `groups`."""
        return torch.optim.RMSprop(
            groups, lr=self.lr, alpha=self.alpha, momentum=self.momentum, eps=self.eps, weight_decay=self.weight_decay
        )


MEMBER = RmsProp
