"""A pruned model whose parameters are divided among processes by fully_shard."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.fsdp import fully_shard

from n2nsurgery import apply
from n2nsurgery.core.errors import UsageError


def train_sharded(rank: int, folder: str) -> None:
    """Train five steps as process `rank` of two; what is left of the masks goes into a file."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    # Nine rows are no multiple of two processes.
    network = nn.Sequential(*(m for _ in range(4) for m in (nn.Linear(9, 9), nn.ReLU())))
    pruned = apply(network, density=0.3, example_inputs=torch.zeros(2, 9))
    for layer in (child for child in pruned.module if isinstance(child, nn.Linear)):
        fully_shard(layer)
    fully_shard(pruned.module)
    optimizer = torch.optim.AdamW(pruned.module.parameters(), lr=0.05, weight_decay=0.1)
    before = {name: pruned.module.get_parameter(name).full_tensor().clone() for name in pruned.masks}
    for _ in range(5):
        optimizer.zero_grad()
        pruned.module(torch.randn(8, 9)).square().sum().backward()
        optimizer.step()
    after = {name: pruned.module.get_parameter(name).full_tensor() for name in pruned.masks}
    try:
        pruned.save(Path(folder, "artifact"))
        refusal = ""
    except UsageError as error:
        refusal = str(error)
    if rank == 0:
        torch.save(
            {"before": before, "after": after, "masks": dict(pruned.masks), "refusal": refusal}, f"{folder}/found.pt"
        )
    distributed.barrier()
    distributed.destroy_process_group()


def test_masks_are_divided_as_their_parameters_are(tmp_path):
    multiprocessing.spawn(train_sharded, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for name, mask in found["masks"].items():
        assert not found["after"][name][~mask].any(), name
        assert not torch.equal(found["after"][name], found["before"][name]), name
    assert re.match(r"'0\.weight', .* is no longer an ordinary parameter: .* fully_shard", found["refusal"])
