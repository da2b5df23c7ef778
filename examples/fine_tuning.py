"""From a trained network to a sparse file: pruned gradually while it is trained on, with itself as the teacher.

    uv run python examples/fine_tuning.py [FOLDER]

Yours is trained already: begin with `fine_tuned`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import n2nsurgery
from n2nsurgery.training.config.dynamics import DynamicsConfig


def points(samples: int = 512) -> TensorDataset:
    """Points in 16 dimensions and the half of the space that they lie in; yours is any map-style dataset."""
    inputs = torch.randn(samples, 16, generator=torch.Generator().manual_seed(0))
    return TensorDataset(inputs, (inputs[:, :4].sum(1) > 0).long())


def dense(data: Dataset[tuple[torch.Tensor, torch.Tensor]], folder: Path) -> nn.Module:
    """A network that was trained with all of its weights."""
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(64, 64), nn.ReLU())]
    network = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), *layers, nn.Linear(64, 2))
    n2nsurgery.train(network, data, folder=folder / "dense", overwrite=True, epochs=4, batch_size=32, device="cpu")
    return network


def fine_tuned(
    trained: nn.Module, data: Dataset[tuple[torch.Tensor, torch.Tensor]], folder: Path
) -> n2nsurgery.PrunedModel:
    """The network with a tenth of its weights, skips included, and the rest of its training behind it."""
    # A copy is pruned. At first it keeps all but the smallest weights, which make room for those of the skips.
    pruned = n2nsurgery.apply(trained, example_inputs=torch.zeros(2, 16), density=1.0, criterion="magnitude")
    gradual = DynamicsConfig(name="gmp", final=0.1, every=4)
    n2nsurgery.train(
        pruned, data, folder=folder / "sparse", overwrite=True, teacher=trained, dynamics=gradual, epochs=6,
        batch_size=32, device="cpu",
    )  # fmt: skip
    return pruned.present()  # with the masks that it has now


def main(folder: Path) -> n2nsurgery.PrunedModel:
    """Train, prune, and write `sparse.onnx` into `folder`."""
    data = points()
    pruned = fine_tuned(dense(data, folder), data, folder)
    n2nsurgery.export_onnx(pruned, folder / "sparse.onnx", example_inputs=torch.zeros(2, 16), overwrite=True)
    return pruned


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
