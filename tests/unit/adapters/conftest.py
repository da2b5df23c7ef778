"""A tiny pruned network, batches for it, and what every adapter has to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from n2nsurgery import PrunedModel, apply


class Mixing(SGD):
    """Moves every weight a little, as optimizers that mix entries do."""

    def step(self, closure=None):
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                torch._foreach_add_(group["params"], 0.01)
        return loss


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "momentum": lambda parameters: SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda parameters: AdamW(parameters, lr=0.01, weight_decay=0.1),
    "one that mixes entries": lambda parameters: Mixing(parameters, lr=0.05, momentum=0.9),
}


def _network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)
        )


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Accelerate remembers the first settings of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def make_pruned() -> Callable[..., PrunedModel]:
    """Prunes the same network again; `seed` draws other masks."""

    def make(seed: int = 0) -> PrunedModel:
        return apply(_network(), density=0.3, skip="none", seed=seed, example_inputs=torch.zeros(2, 6))

    return make


@pytest.fixture
def pruned(make_pruned) -> PrunedModel:
    return make_pruned()


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 6, generator=generator), torch.tensor([0, 1, 2, 0])) for _ in range(12)]


@pytest.fixture(params=OPTIMIZERS.values(), ids=OPTIMIZERS)
def build(request) -> Callable[..., Optimizer]:
    """Makes an optimizer of parameters."""
    return request.param


@pytest.fixture
def sgd() -> Callable[..., Optimizer]:
    """Makes the plainest optimizer of parameters."""
    return lambda parameters: SGD(parameters, lr=0.05)
