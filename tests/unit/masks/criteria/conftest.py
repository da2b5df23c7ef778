"""Connection sensitivity by its definition, which SNIP and FORCE are compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.masks import ScoreContext
from n2nsurgery.masks.scoring.loss import cross_entropy

_REAL = {"conv.weight": "conv.weight", "depthwise.weight": "depthwise.weight", "second.weight": "first.weight"}


@pytest.fixture
def by_definition(context: ScoreContext) -> Callable[..., dict[str, Tensor]]:
    """`by_definition(kept, mode)`: |dL/dc| / sum |dL/dc| of the mean loss over the batches, at the mask c = `kept`."""

    def sensitivities(kept: Mapping[str, Tensor], mode: str = "train") -> dict[str, Tensor]:
        module = copy.deepcopy(context.module).train(mode == "train")
        parameters = dict(module.named_parameters())
        c = {name: kept[name].double().requires_grad_() for name in _REAL}
        masked = {real: parameters[real].detach() * c[name] for name, real in _REAL.items()}
        logits = [functional_call(module, parameters | masked, inputs) for inputs, _ in context.batches]
        guessed = torch.randint(4, (4,), generator=torch_generator(context.seed, "labels", "1"))
        loss = (cross_entropy(logits[0], context.batches[0][1]) + cross_entropy(logits[1], guessed)) / 2
        slopes = torch.autograd.grad(loss, list(c.values()))
        total = sum(slope.abs().sum() for slope in slopes)
        return {name: slope.abs() / total for name, slope in zip(c, slopes, strict=True)}

    return sensitivities


@pytest.fixture
def everything(context: ScoreContext) -> dict[str, Tensor]:
    """The mask that keeps every weight."""
    return {weight.name: torch.ones(weight.shape, dtype=torch.bool) for weight in context.weights}
