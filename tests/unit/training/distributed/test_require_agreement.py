"""What processes were started with is compared before they wait for each other; here they are threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.distributed.collectives import require_agreement


@dataclass(eq=False)
class Together:
    """One of `size` threads; what is sent passes through `board`."""

    rank: int
    size: int
    board: dict
    barrier: threading.Barrier

    def broadcast(self, tensors, source=0):
        for tensor in tensors:
            if self.rank == source:
                self.board["sent"] = tensor
            self.barrier.wait(timeout=60)
            if self.rank != source:
                tensor.copy_(self.board["sent"])
            self.barrier.wait(timeout=60)

    def all_gather(self, values):
        self.board[self.rank] = values
        self.barrier.wait(timeout=60)
        found = [self.board[rank] for rank in range(self.size)]
        self.barrier.wait(timeout=60)
        return found


def errors_of(*facts):
    """What each of so many processes, started with those facts, raises; None for nothing."""
    board, barrier = {}, threading.Barrier(len(facts))

    def compare(rank):
        try:
            require_agreement(Together(rank, len(facts), board, barrier), facts[rank])
        except UsageError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(facts)) as pool:
        return list(pool.map(compare, range(len(facts))))


def test_processes_that_were_started_alike_go_on():
    facts = {"batches": 5, "optimizer": {"lr": 0.1, "name": "sgd"}}
    assert errors_of(facts, dict(reversed(facts.items())), facts) == [None] * 3
    require_agreement(Together(0, 1, {}, None), facts)  # one process alone asks nobody


@pytest.mark.parametrize("other", [1, 2])
def test_every_process_names_the_one_that_differs_and_in_what(other):
    facts = [{"train.lr": 0.1, "batches": 5, "same": "x"} for _ in range(3)]
    facts[other] |= {"train.lr": 0.2, "more": True}
    found = errors_of(*facts)
    expected = (
        f"process {other} was not started like process 0: more is True, in process 0 None; "
        "train.lr is 0.2, in process 0 0.1. Start all processes with the same"
    )
    assert found == [expected] * 3
