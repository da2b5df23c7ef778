"""The processes that train together, as the loop sees them; and the case of one process alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


class World(Protocol):
    """This process among `size`; every method but `rank`'s own data is called by all of them at the same point."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0; process 0 writes the files."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def local_rank(self) -> int:
        """Number of this process on its machine."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network` as the forward pass calls it, its gradients averaged over all processes."""

    def unsynchronized(self, network: nn.Module) -> AbstractContextManager[None]:
        """Inside, backward passes of a wrapped network add up locally."""

    def total(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`, on the CPU."""

    def gather(self, values: Tensor) -> list[Tensor]:
        """Every process's `values` (of one shape), in the order of their numbers, on the CPU."""

    def share(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Give every process the values of process `source`, in place; tensors may lie on the CPU or on `device`."""

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the value that is reduced
        """Whether `flag` is set in any process."""

    def require_same(self, what: str, digest: str) -> None:
        """Return where every process has the same `digest` (hexadecimal); raises VerificationError."""


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One process on one device."""

    device: torch.device
    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network` itself."""
        return network

    def unsynchronized(self, network: nn.Module) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to hold back."""
        return nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """`values`."""
        return values.cpu()

    def gather(self, values: Tensor) -> list[Tensor]:
        """`values` alone."""
        return [values.cpu()]

    def share(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Nothing to do."""

    def any(self, flag: bool) -> bool:  # noqa: FBT001
        """`flag`."""
        return flag

    def require_same(self, what: str, digest: str) -> None:
        """Nothing to compare."""
