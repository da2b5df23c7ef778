"""Optimizer `nadam`: Adam with Nesterov's look ahead.

    w = w - lr (b1 m' + (1 - b1) g') / (sqrt(v') + eps)

An `eps` above 0 keeps the step of a weight whose moments are zero at zero.
Source: torch.optim.NAdam; Dozat 2016, "Incorporating Nesterov momentum into Adam".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2nsurgery.core.validation import above, require
from n2nsurgery.training.optimizers import Groups, require_betas, require_decay


@dataclass(frozen=True, kw_only=True)
class NAdam:
    """`betas`: decay of the two moments. `eps` above 0. `weight_decay`: an L2 term in the gradient."""

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(above(self.lr, 0), "optimizer.lr", self.lr, "above 0")
        require_betas(self.betas)
        require(above(self.eps, 0), "optimizer.eps", self.eps, "above 0")
        require_decay(self.weight_decay)

    def __call__(self, groups: Groups) -> torch.optim.NAdam:
        """A new NAdam optimizer of `groups`."""
        return torch.optim.NAdam(groups, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)


MEMBER = NAdam
