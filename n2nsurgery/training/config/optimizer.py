"""The optimizer of a run: which one, its hyper-parameters, and which weights its decay reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require, require_choice, within
from n2nsurgery.masks.kept_values import KeptValues
from n2nsurgery.training.config.member import made
from n2nsurgery.training.optimizers import OPTIMIZERS

# which of the fields of a config are for which optimizer, besides the learning rate and the weight decay
_FIELDS = {"sgd": ("momentum", "nesterov"), "adam": ("betas", "eps"), "adamw": ("betas", "eps")}
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """`name`: any registered optimizer. `lr`: where the schedule starts from. `momentum`, `nesterov`: of SGD.

    `betas`, `eps`: of Adam(W). `options`: hyper-parameters of any other optimizer, by name.
    `weight_decay`: an L2 term in the gradient for SGD and Adam, decoupled for AdamW. With `spare_norms` it leaves out
    biases and the weights of normalization layers.
    """

    name: str = field(default="sgd", metadata=option("any registered optimizer", registry=OPTIMIZERS))
    lr: float = field(
        default=0.05, metadata=option("learning rate that the schedule starts from", within=Range(above=0))
    )
    momentum: float = field(default=0.9, metadata=option("of SGD", within=Range(least=0, below=1)))
    nesterov: bool = field(default=True, metadata=option("Nesterov's form of the momentum of SGD"))
    betas: tuple[float, float] = field(
        default=(0.9, 0.999),
        metadata=option("decay of both averages of Adam and AdamW", within=Range(least=0, below=1)),
    )
    eps: float = field(
        default=1e-8, metadata=option("what Adam and AdamW add to the denominator", within=Range(above=0))
    )
    weight_decay: float = field(
        default=5e-4, metadata=option("an L2 term in the gradient; for AdamW decoupled from it", within=Range(least=0))
    )
    spare_norms: bool = field(default=False, metadata=option("no weight decay for biases and normalization layers"))
    options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("hyper-parameters of any other optimizer, by name")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        require_choice("optimizer.name", self.name, OPTIMIZERS.names())
        pair = len(self.betas) == 2 and all(within(beta, 0, 1) for beta in self.betas)  # noqa: PLR2004 - m and v
        require(pair, "optimizer.betas", self.betas, "two numbers in [0, 1)")
        check_options(self, "optimizer")
        unaided = self.name == "sgd" and self.nesterov and not self.momentum
        require(not unaided, "optimizer.nesterov", self.nesterov, "false where momentum is 0")


def make_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `module`'s trainable parameters; raises UsageError where there are none."""
    decayed, spared = _split(module, spare=config.spare_norms)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    require_trained(groups)
    names = ("lr", "weight_decay", *_FIELDS.get(config.name, ()))
    own = {name: getattr(config, name) for name in names}
    return made(OPTIMIZERS, config.name, {**own, **config.options}, "optimizer.options")(groups)


def require_trained(parameters: Sized) -> None:
    """Return where there is something to train; raises UsageError."""
    if not parameters:
        raise UsageError("there is nothing to train: every parameter is frozen; freeze fewer of them")


def _split(module: nn.Module, *, spare: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters that weight decay reaches, and those that it spares; each once."""
    decayed: dict[nn.Parameter, None] = {}
    spared: dict[nn.Parameter, None] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in decayed and parameter not in spared:
                flat = parameter.ndim <= 1 and not isinstance(owner, KeptValues)  # those are of a weight
                exempt = spare and (isinstance(owner, _NORMS) or name == "bias" or flat)
                (spared if exempt else decayed)[parameter] = None
    return list(decayed), list(spared)
