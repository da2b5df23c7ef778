"""A pruned network in a loop of Accelerate: the same script on one CPU, one GPU or several, and resumed.

uv run accelerate launch examples/accelerate_loop.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import n2nsurgery
from n2nsurgery.adapters.accelerate import keep_masks


def main(folder: Path, steps: int = 4) -> n2nsurgery.PrunedModel:
    """Train `steps` batches of noise, from the state in `folder` where there is one, and save the state there."""
    accelerator = Accelerator(gradient_accumulation_steps=2, mixed_precision="bf16")
    pruned = n2nsurgery.apply("cifar-tiny-resnet", density=0.1, seed=0)
    optimizer = torch.optim.SGD(pruned.module.parameters(), lr=0.05, momentum=0.9)
    data = TensorDataset(torch.randn(8 * steps, 3, 32, 32), torch.arange(8 * steps) % 10)
    model, optimizer, loader = accelerator.prepare(pruned.module, optimizer, DataLoader(data, batch_size=8))
    masks = keep_masks(accelerator, model, optimizer)
    if (folder / "state").is_dir():
        accelerator.load_state(str(folder / "state"))  # refuses a state of other masks
    for images, labels in loader:
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.cross_entropy(model(images), labels))
            optimizer.step()
            optimizer.zero_grad()
    accelerator.save_state(str(folder / "state"))  # refuses weights that have moved
    masks.end()
    return pruned


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
