"""What the code of a model does besides computing an output still happens after pruning.

Each model is compared with itself: the pruned one, its skips at zero, with a dense one that has the same weights.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import PrunedModel, apply

X = torch.linspace(-1, 1, 64).reshape(8, 8)


def body() -> nn.Sequential:
    return nn.Sequential(*(module for _ in range(5) for module in (nn.Linear(8, 8), nn.ReLU())))


class Reverse(torch.autograd.Function):
    """The gradient reversal of domain adaptation."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return -gradient


class OwnBackward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = body(), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Reverse.apply(self.body(x)))


class Frozen(OwnBackward):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.body(x)
        return self.head(features)


class Optional(OwnBackward):
    def forward(self, x: Tensor, **more: Tensor) -> Tensor:
        y = self.body(x)
        return y * more["scale"] if "scale" in more else y


class Stateful(OwnBackward):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))
        self.temperature, self.last, self.losses = 1.0, None, []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps = self.steps + 1
        y = self.body(x) / self.temperature
        self.last = y
        self.losses.append(y.mean())
        return y


class Watched(OwnBackward):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.body.register_full_backward_hook(lambda _, inputs, __: (inputs[0] * 0,))
        self.body.register_forward_hook(self.count)

    def count(self, *_: Any) -> None:
        self.seen += 1

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Thawed(OwnBackward):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.body(x))

    def train(self, *mode: bool) -> Thawed:
        super().train(*mode)
        self.norm.eval()
        return self


def pruned_and_dense(kind: type[nn.Module]) -> tuple[PrunedModel, nn.Module]:
    """The pruned model with its skips at zero, and a dense one of the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dense = kind()
    pruned = apply(copy.deepcopy(dense), density=0.9, example_inputs=X)
    assert pruned.plan.skips
    for skip in pruned.module.n2n_skips.children():
        nn.init.zeros_(skip.weight)
    dense.load_state_dict(pruned.module.state_dict(), strict=False)
    return pruned, dense


def seen(model: nn.Module, x: Tensor, masks: Any, **more: Tensor) -> dict[str, Tensor | None]:
    """The output, and gradients by input and parameter, within the masks."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    output = model(x, **more)
    output.square().sum().backward()
    found: dict[str, Tensor | None] = {"output": output.detach(), "input": x.grad}
    for name, parameter in model.named_parameters():
        if not name.startswith("n2n_skips"):
            grad = parameter.grad
            found[name] = grad if grad is None or name not in masks else grad * masks[name]
    return found


def require_same(first: dict[str, Tensor | None], second: dict[str, Tensor | None]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        other = second[name]
        assert value is other is None or torch.equal(value, other), name


@pytest.mark.parametrize("kind", [OwnBackward, Frozen, Optional, Stateful, Watched, Thawed])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_those_of_the_model_itself_for_every_batch_size(kind, training):
    pruned, dense = pruned_and_dense(kind)
    assert type(pruned.module) is kind
    for x in (X, X[:3]):
        require_same(*(seen(model.train(training), x, pruned.masks) for model in (dense, pruned.module)))


def test_a_frozen_part_stays_without_gradients():
    pruned, _ = pruned_and_dense(Frozen)
    pruned.module(X).sum().backward()
    assert pruned.module.body[0].weight.grad is None
    assert pruned.module.head.weight.grad is not None


def test_further_keyword_arguments_arrive():
    pruned, dense = pruned_and_dense(Optional)
    require_same(*(seen(model, X, pruned.masks, scale=torch.full((8, 1), 3.0)) for model in (dense, pruned.module)))


def test_state_that_forward_keeps_and_reads_is_kept_and_read():
    pruned, dense = pruned_and_dense(Stateful)
    for model in (dense, pruned.module):
        assert (model.steps, model.last, model.losses) == (0, None, [])
        model.train()(X)
        model.temperature = 4.0
        model(X)
        assert (int(model.steps), len(model.losses)) == (2, 2)
    assert torch.equal(pruned.module.last, dense.last)


def test_hooks_of_containers_run():
    pruned, _ = pruned_and_dense(Watched)
    x = X.clone().requires_grad_()
    pruned.module(x).sum().backward()
    assert pruned.module.seen == 1
    assert not x.grad.any()
    assert pruned.module.body[0].weight.grad is not None


def test_an_overridden_train_is_the_models_own():
    pruned, _ = pruned_and_dense(Thawed)
    assert not pruned.module.train().norm.training
