"""Optimizers: how a step follows from the gradients; one file each.

Masks rest on steps that are element-wise: where a weight, its gradient and the optimizer's state are zero, a step
leaves all three at zero, weight decay included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry
from n2nsurgery.core.validation import above, at_least, require, within

Groups = Sequence[dict[str, Any]]
"""Parameter groups as torch.optim takes them: `params`, and what differs from the optimizer's own values."""


class Optimizer(Protocol):
    """An optimizer with its hyper-parameters as fields; a frozen dataclass.

    `lr`: where the schedule starts from; each step's learning rate is written into the groups. `weight_decay`: of
    groups that name none.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def lr(self) -> float:
        """The base learning rate, above 0."""
        ...

    @property
    def weight_decay(self) -> float:
        """0 or more."""
        ...

    def __call__(self, groups: Groups) -> torch.optim.Optimizer:
        """A new optimizer of the parameters in `groups`."""
        ...


OPTIMIZERS: Registry[type[Optimizer]] = registries.OPTIMIZERS


def parameters_of(groups: Groups) -> list[Tensor]:
    """The parameters of all groups, in order."""
    return [parameter for group in groups for parameter in group["params"]]


def can_fuse(parameters: Iterable[Tensor]) -> bool:
    """Whether torch has a fused step, one pass over the weights, for all of `parameters`."""
    return all(p.device.type in {"cpu", "cuda"} and p.is_floating_point() for p in parameters)


def require_decay(weight_decay: float) -> None:
    """Return where `weight_decay` is 0 or more; raises UsageError."""
    require(at_least(weight_decay, 0), "optimizer.weight_decay", weight_decay, "0 or more")


@dataclass(frozen=True, kw_only=True)
class MomentOptimizer:
    """The hyper-parameters of Adam and its relatives, checked, with the names of torch.optim; each adds its own step.

    `betas`: decay of the gradient's two moments, each in [0, 1). `eps` above 0: it keeps the step of a weight whose
    moments are zero at zero. `weight_decay`: 0 or more.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(above(self.lr, 0), "optimizer.lr", self.lr, "above 0")
        two = len(self.betas) == 2 and all(within(beta, 0, 1) for beta in self.betas)  # noqa: PLR2004 - the two moments
        require(two, "optimizer.betas", self.betas, "two numbers in [0, 1)")
        require(above(self.eps, 0), "optimizer.eps", self.eps, "above 0")
        require_decay(self.weight_decay)
