"""Optimizer `radam`: Adam whose scaling waits until its variance is known.

    w = w - lr r m' / (sqrt(v') + eps), with the rectification r; w - lr m' in the first steps

An `eps` above 0 keeps the step of a weight whose moments are zero at zero.
Source: torch.optim.RAdam; Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", algorithm 2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from n2nsurgery.training.optimizers import Groups, MomentOptimizer


@dataclass(frozen=True, kw_only=True)
class RAdam(MomentOptimizer):
    """`betas`: decay of the two moments. `eps` above 0. `weight_decay`: an L2 term in the gradient."""

    def __call__(self, groups: Groups) -> torch.optim.RAdam:
        """A new RAdam optimizer of `groups`."""
        return torch.optim.RAdam(groups, **asdict(self))


MEMBER = RAdam
