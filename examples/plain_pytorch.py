"""A pruned network in a plain PyTorch loop: mixed precision, gradient accumulation, a checkpoint, and going on from it.

    uv run python examples/plain_pytorch.py [FOLDER]

Pruned weights stay exactly zero by themselves. `enforce` would be needed for an optimizer that mixes entries (Muon).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import n2nsurgery

ACCUMULATE = 2


def batches(first: int, last: int) -> list[tuple[Tensor, Tensor]]:
    """Batches `first` to `last` of noise; yours come from a DataLoader."""
    generator = torch.Generator().manual_seed(0)
    whole = [(torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8) % 10) for _ in range(last)]
    return whole[first:]


def train(module: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]]) -> None:
    """One optimizer step for every `ACCUMULATE` batches, in bf16."""
    module.train()
    for number, (images, labels) in enumerate(data, 1):
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(module(images), labels)
        (loss / ACCUMULATE).backward()
        if number % ACCUMULATE == 0:
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


def make() -> tuple[n2nsurgery.PrunedModel, torch.optim.Optimizer]:
    """The pruned network, and an optimizer of its parameters: `apply` returns a copy of the model."""
    pruned = n2nsurgery.apply("cifar-tiny-resnet", density=0.1, seed=0)
    return pruned, torch.optim.SGD(pruned.module.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)


def main(folder: Path) -> n2nsurgery.PrunedModel:
    """Train in two halves with a checkpoint between, and save the artifact, which loads to the bit."""
    pruned, optimizer = make()
    train(pruned.module, optimizer, batches(0, 4))
    torch.save({"model": pruned.module.state_dict(), "optimizer": optimizer.state_dict()}, folder / "checkpoint.pt")

    pruned, optimizer = make()  # another process, later
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    pruned.module.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    train(pruned.module, optimizer, batches(4, 8))
    pruned.save(folder / "artifact")  # refuses weights that have moved
    return pruned


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
