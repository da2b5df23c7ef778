"""Optimizer `adamw`: Adam with weight decay apart from the gradient.

    w = (1 - lr weight_decay) w - lr m' / (sqrt(v') + eps)

An `eps` above 0 keeps the step of a weight whose moments are zero at zero.
Source: torch.optim.AdamW; Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from n2nsurgery.training.optimizers import Groups, MomentOptimizer, can_fuse, parameters_of


@dataclass(frozen=True, kw_only=True)
class AdamW(MomentOptimizer):
    """`betas`: decay of the two moments. `eps` above 0. `weight_decay`: decoupled from the gradient."""

    weight_decay: float = 0.01

    def __call__(self, groups: Groups) -> torch.optim.AdamW:
        """A new AdamW optimizer of `groups`."""
        return torch.optim.AdamW(
            groups,
            **asdict(self),
            fused=can_fuse(parameters_of(groups)),
        )


MEMBER = AdamW
