"""The optimizer of a run, made for a module: which weights its decay reaches."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import select
from n2nsurgery.masks.kept_values import KeptValues, parameter_names
from n2nsurgery.training.config.member import made
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.optimizers import OPTIMIZERS

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def make_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `module`'s trainable parameters.

    Raises UsageError where there are none, UnknownNameError for a pattern of `config.spare` that matches nothing.
    """
    decayed, spared = _split(module, _named(module, config.spare), norms=config.spare_norms)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    require_trained(groups)
    return made(OPTIMIZERS, config.name, config.own(), "optimizer.options")(groups)


def require_trained(parameters: Sized) -> None:
    """Return where there is something to train; raises UsageError."""
    if not parameters:
        raise UsageError("there is nothing to train: every parameter is frozen; freeze fewer of them")


def _named(module: nn.Module, patterns: Sequence[str]) -> set[nn.Parameter]:
    """The parameters of `module` that match one of `patterns`, by the name in a state_dict or that of a module."""
    parameters = {name: parameter for parameter, name in parameter_names(module).items()}
    modules = {name: child for name, child in module.named_modules() if name}
    found = [name for each in patterns for name in select(each, [*parameters, *modules], kind="layer")]
    inside = [own for name in found if name in modules for own in modules[name].parameters()]
    return {*inside, *(parameters[name] for name in found if name in parameters)}


def _split(
    module: nn.Module, named: set[nn.Parameter], *, norms: bool
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters that weight decay reaches, and those that it spares, `named` among them; each once."""
    decayed: dict[nn.Parameter, None] = {}
    spared: dict[nn.Parameter, None] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in decayed and parameter not in spared:
                flat = parameter.ndim <= 1 and not isinstance(owner, KeptValues)  # those are of a weight
                exempt = parameter in named or (norms and (isinstance(owner, _NORMS) or name == "bias" or flat))
                (spared if exempt else decayed)[parameter] = None
    return list(decayed), list(spared)
