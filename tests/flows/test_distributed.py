"""Two processes train one operated network on different data: masks hold, and both have the same weights."""

from __future__ import annotations

import subprocess
import sys

TRAINING = """
import gc
import os
import sys
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from n2nsurgery import apply

rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
distributed.init_process_group("gloo", store=distributed.FileStore(store, 2), rank=rank, world_size=2)
torch.manual_seed(0)
layers = [module for _ in range(5) for module in (nn.Linear(6, 6), nn.ReLU())]
model = nn.Sequential(*layers, nn.Linear(6, 3))
operated = apply(model, density=0.5, criterion="snip", example_inputs=torch.zeros(2, 6))
assert operated.plan.skips
wrapped = DistributedDataParallel(operated.module)
optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
before = [parameter.detach().clone() for parameter in wrapped.parameters()]
generator = torch.Generator().manual_seed(rank)
for _ in range(5):
    x, y = torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)
    optimizer.zero_grad()
    nn.functional.cross_entropy(wrapped(x), y).backward()
    nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
    optimizer.step()
for name, mask in operated.masks.items():
    assert not operated.module.get_parameter(name).detach()[~mask].any(), name
assert not any(torch.equal(old, new) for old, new in zip(before, wrapped.parameters()))
mine = torch.cat([parameter.detach().reshape(-1) for parameter in wrapped.parameters()])
both = [torch.empty_like(mine) for _ in range(2)]
distributed.all_gather(both, mine)
assert torch.equal(*both)
print(operated.masks.fingerprint, flush=True)
del wrapped
gc.collect()
distributed.barrier()
distributed.destroy_process_group()
os._exit(0)  # gloo's threads may outlive their group, and would abort an interpreter that ends under them
"""


def test_two_ranks_keep_the_same_masks_and_the_same_weights(tmp_path):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outcomes = [rank.communicate(timeout=180) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outcomes
    (first, _), (second, _) = outcomes
    assert first == second
    assert len(first.strip()) == 64
