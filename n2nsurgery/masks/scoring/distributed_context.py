"""DistributedContext: the processes that score one network together; and the case of one process alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class DistributedContext(Protocol):
    """This process among `size`, all with the same network and batches; all call `broadcast` at the same points."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0; process 0 decides what is kept."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def broadcast(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Give every process the values of process `source`, in place."""


@dataclass(frozen=True, kw_only=True)
class SingleProcess:
    """One process that scores everything."""

    rank: int = 0
    size: int = 1

    def broadcast(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Nothing to do."""


SINGLE_PROCESS = SingleProcess()
