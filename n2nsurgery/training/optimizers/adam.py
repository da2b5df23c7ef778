"""Optimizer `adam`: steps scaled by running moments of the gradient.

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   w = w - lr m' / (sqrt(v') + eps)        (': bias removed)

An `eps` above 0 keeps the step of a weight whose moments are zero at zero.
Source: torch.optim.Adam; Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from n2nsurgery.training.optimizers import Groups, MomentOptimizer, can_fuse, parameters_of


@dataclass(frozen=True, kw_only=True)
class Adam(MomentOptimizer):
    """`betas`: decay of the two moments. `eps` above 0. `weight_decay`: an L2 term in the gradient."""

    def __call__(self, groups: Groups) -> torch.optim.Adam:
        """A new Adam optimizer of `groups`."""
        return torch.optim.Adam(
            groups,
            **asdict(self),
            fused=can_fuse(parameters_of(groups)),
        )


MEMBER = Adam
