"""Optimizer `nadam`: Adam with Nesterov's look ahead.

    w = w - lr (b1 m' + (1 - b1) g') / (sqrt(v') + eps)

An `eps` above 0 keeps the step of a weight whose moments are zero at zero.
Source: torch.optim.NAdam; Dozat 2016, "Incorporating Nesterov momentum into Adam".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from n2nsurgery.training.optimizers import Groups, MomentOptimizer


@dataclass(frozen=True, kw_only=True)
class NAdam(MomentOptimizer):
    """`betas`: decay of the two moments. `eps` above 0. `weight_decay`: an L2 term in the gradient."""

    def __call__(self, groups: Groups) -> torch.optim.NAdam:
        """A new NAdam optimizer of `groups`."""
        return torch.optim.NAdam(groups, **asdict(self))


MEMBER = NAdam
