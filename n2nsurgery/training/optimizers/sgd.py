"""Optimizer `sgd`: stochastic gradient descent with momentum.

    g = gradient + weight_decay w,   v = momentum v + g,   w = w - lr v            (Nesterov: w - lr (g + momentum v))

Source: torch.optim.SGD; Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2nsurgery.core.validation import above, require, within
from n2nsurgery.training.optimizers import Groups, can_fuse, parameters_of, require_decay


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """`momentum` in [0, 1). `nesterov`: look ahead; needs momentum. `weight_decay`: an L2 term in the gradient."""

    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        require(above(self.lr, 0), "optimizer.lr", self.lr, "above 0")
        require(within(self.momentum, 0, 1), "optimizer.momentum", self.momentum, "in [0, 1)")
        require(isinstance(self.nesterov, bool), "optimizer.nesterov", self.nesterov, "true or false")
        unaided = self.nesterov and not self.momentum
        require(not unaided, "optimizer.nesterov", self.nesterov, "false where momentum is 0")
        require_decay(self.weight_decay)

    def __call__(self, groups: Groups) -> torch.optim.SGD:
        """SGD whose momentum starts at zero, so that the first step takes the gradient itself.

        torch's fused step takes no mixture of parameters with and without momentum, and leaves the momentum
        uninitialized where fp16 overflows in the first step.
        """
        parameters = parameters_of(groups)
        optimizer = torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=can_fuse(parameters),
        )
        for parameter in parameters if self.momentum else ():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer


MEMBER = Sgd
