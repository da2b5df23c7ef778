"""What one process does for others, seen from each of them in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from n2nsurgery.core.errors import LostProcessError, UsageError
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.training.distributed.collectives import broadcast_from_rank_zero, on_rank_zero, on_ranks


@dataclass
class DistributedContext:
    """One of two processes; `elsewhere`: whether the other one failed; `sent`: what process 0 shared, in order."""

    rank: int
    elsewhere: bool = False
    size: int = 2
    sent: list = field(default_factory=list)

    def broadcast(self, tensors, source=0):
        for tensor in tensors:
            if self.rank == source:
                self.sent.append(tensor.clone())
            else:
                theirs = self.sent.pop(0)
                assert (tensor.shape, tensor.dtype) == (theirs.shape, theirs.dtype)
                tensor.copy_(theirs)

    def all_reduce_any(self, flag) -> bool:
        return flag or self.elsewhere


def refuse():
    raise UsageError("no")


def test_the_first_process_works_and_the_others_wait():
    assert on_rank_zero(DistributedContext(0), lambda: 3) == 3
    assert on_rank_zero(DistributedContext(1), refuse) is None


def test_a_failure_ends_all_of_them():
    with pytest.raises(UsageError, match="no"):
        on_rank_zero(DistributedContext(0), refuse)
    with pytest.raises(LostProcessError, match="another process failed; its message says why"):
        on_rank_zero(DistributedContext(1, elsewhere=True), refuse)


def test_several_processes_may_be_chosen():
    assert on_ranks(DistributedContext(1), lambda: 3, chosen=True) == 3
    assert on_ranks(DistributedContext(0), refuse, chosen=False) is None


def test_files_of_the_first_process_reach_the_others_whole():
    tensors = {
        "model": {"w": torch.randn(3, 2).t(), "scalar": torch.tensor(7), "empty": torch.empty(0, 4)},
        "half": {"b": torch.randn(5).bfloat16(), "mask": torch.tensor([True, False])},
        "optimizer": {},  # as SGD without momentum has it
    }
    files = SealedFiles(folder=Path("there"), kind="artifact", documents={"plan": {"ä": [1, None]}}, tensors=tensors)
    first = DistributedContext(0)
    assert broadcast_from_rank_zero(first, files).documents == files.documents
    received = broadcast_from_rank_zero(DistributedContext(1, sent=first.sent), None)
    assert not first.sent
    assert (received.folder, received.kind, received.documents) == (files.folder, files.kind, files.documents)
    assert {group: list(named) for group, named in received.tensors.items()} == {g: list(t) for g, t in tensors.items()}
    for group, named in tensors.items():
        for name, tensor in named.items():
            assert received.tensors[group][name].dtype == tensor.dtype
            assert torch.equal(received.tensors[group][name], tensor)


def test_that_the_first_process_has_no_files_is_told_too():
    first = DistributedContext(0)
    assert broadcast_from_rank_zero(first, None) is None
    assert broadcast_from_rank_zero(DistributedContext(1, sent=first.sent), None) is None
    assert broadcast_from_rank_zero(DistributedContext(0, size=1), None) is None
    assert not first.sent[2:]
