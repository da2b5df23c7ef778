"""The processes that train or score together, as everything but torch.distributed sees them.

`SingleProcess` is the case of one process; `train.distributed` makes the one of several. It stands in core because
scoring (masks) and training (train) use the same object and neither may import the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class DistributedContext(Protocol):
    """This process among `size`. Every method is called by all of them at the same point; attributes are local."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0. Process 0 writes the files and decides which weights are kept."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def local_rank(self) -> int:
        """Number of this process on its machine."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    def wrap_ddp(self, network: nn.Module, *, find_unused: bool = False) -> nn.Module:
        """`network` as the forward pass calls it, its gradients averaged over all processes.

        `find_unused`: look in every step for parameters that got no gradient, and do not wait for them.
        """

    def no_sync(self, network: nn.Module) -> AbstractContextManager[None]:
        """Inside, backward passes of a wrapped network add up locally."""

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`, on the CPU."""

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """Every process's `values` (of one shape), in the order of their numbers, on the CPU."""

    def broadcast(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Give every process the values of process `source`, in place; tensors may lie on the CPU or on `device`."""

    def all_reduce_any(self, flag: bool) -> bool:  # noqa: FBT001 - the value that is reduced
        """Whether `flag` is set in any process."""

    def require_same(self, what: str, digest: str) -> None:
        """Return where every process has the same `digest` (hexadecimal); raises VerificationError."""


@dataclass(frozen=True, kw_only=True)
class SingleProcess:
    """One process on one device."""

    device: torch.device
    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def wrap_ddp(self, network: nn.Module, *, find_unused: bool = False) -> nn.Module:  # noqa: ARG002
        """`network` itself."""
        return network

    def no_sync(self, network: nn.Module) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to hold back."""
        return nullcontext()

    def all_reduce(self, values: Tensor) -> Tensor:
        """`values`."""
        return values.cpu()

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """`values` alone."""
        return [values.cpu()]

    def broadcast(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Nothing to do."""

    def all_reduce_any(self, flag: bool) -> bool:  # noqa: FBT001
        """`flag`."""
        return flag

    def require_same(self, what: str, digest: str) -> None:
        """Nothing to compare."""
