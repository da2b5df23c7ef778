"""Several processes that train together: one group, DDP, sums over all, and proofs that all hold the same.

The processes are those of torchrun, or of `distributed_launch`; either tells each its number in the environment.
What lies on GPUs travels by NCCL between them; all else, and every small number, by gloo between CPUs, so that asking
for one never waits for a GPU.

A process that dies closes its connections, and whoever waits for it fails with a RunError: the cause is told by the one
that died, by `distributed_launch` or by torchrun, which also end those that do not notice.

An interpreter that ends while DDP or gloo objects are alive may abort. So the wrapper is dropped and collected before
the group is destroyed, and a process that failed ends at once, without taking the interpreter apart.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from n2nsurgery.core.errors import RunError, UsageError, VerificationError
from n2nsurgery.training.config.device import choose_device
from n2nsurgery.training.distributed.distributed_context import DistributedContext, SingleProcess
from n2nsurgery.training.distributed.rank_report import REPORTS, exit_code_of, write_report

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class TorchDistributedContext:
    """The DistributedContext of a process group that is up; made by `joined`."""

    def __init__(self, device: torch.device, control: Any, local_rank: int) -> None:  # noqa: ANN401 - torch's is open
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        self.local_rank = local_rank
        self.device = device
        self._control = control
        self._parent = os.getppid()

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        """`network` with its gradients averaged over all processes after every backward pass."""
        if not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[None]:
        """Inside, backward passes add up locally."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`."""
        summed = values.detach().cpu().clone()
        distributed.all_reduce(summed, group=self._control)
        return summed

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """Every process's `values`, in the order of their numbers."""
        own = values.detach().cpu().contiguous()
        found = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(found, own, group=self._control)
        return found

    def broadcast(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Give every process the values of process `source`, in place."""
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            distributed.broadcast(sent, source, group=self._control if sent.device.type == "cpu" else None)
            if self.rank != source and sent.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(sent)

    def all_reduce_any(self, flag: bool) -> bool:  # noqa: FBT001 - the value that is reduced
        """Whether `flag` is set in any process, or the one that started us is gone."""
        orphaned = os.getppid() != self._parent
        return bool(self.all_reduce(torch.tensor(int(flag or orphaned))))

    def require_same(self, what: str, digest: str) -> None:
        """Return where every process has the same `digest`; raises VerificationError with the numbers of the others."""
        found = self.all_gather(torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))
        others = [rank for rank, value in enumerate(found) if not torch.equal(value, found[0])]
        if others:
            raise VerificationError(f"the {what} of processes {others} are no longer those of process 0")


@contextmanager
def joined(device: str = "auto", environment: Mapping[str, str] | None = None) -> Iterator[DistributedContext]:
    """The processes this one was started among; this one alone where nobody started others.

    A failure inside ends a process that `distributed_launch` started at once, with the exit code of the error and the
    error in its report. Raises UsageError for an incomplete environment, RunError for a GPU that is not there.
    """
    environment = os.environ if environment is None else environment
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        yield SingleProcess(device=choose_device(device))
        return
    reports = environment.get(REPORTS)
    try:
        group = _group(device, environment)
        with _losses_named():
            yield group
    except BaseException as error:
        if reports is not None:  # before the others notice that we are gone, and report that
            write_report(reports, environment, error)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_code_of(error))
        _clear_frames(error)
        raise
    finally:
        gc.collect()
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if reports is not None:
        write_report(reports, environment, None)


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what the frames of `error` and of its causes hold: the wrapper may live in one of them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _group(device: str, environment: Mapping[str, str]) -> TorchDistributedContext:
    missing = [name for name in _VARIABLES if name not in environment]
    if missing:
        raise UsageError(f"the environment names a process among several but lacks {', '.join(missing)}; use torchrun")
    local = int(environment["LOCAL_RANK"])
    chosen = choose_device("cuda" if device.startswith("cuda") else device, local)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    place = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
    try:
        distributed.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            init_method=f"tcp://{place}",
            rank=int(environment["RANK"]),
            world_size=int(environment["WORLD_SIZE"]),
        )
    except distributed.DistError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"the processes cannot meet at {place} (MASTER_ADDR, MASTER_PORT): {reason}") from error
    control = distributed.new_group(backend="gloo") if chosen.type == "cuda" else distributed.group.WORLD
    return TorchDistributedContext(chosen, control, local)


@contextmanager
def _losses_named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _lost(error):
            raise
        reason = str(error).splitlines()[0]
        message = f"another process failed or was killed, and its message says why; here it shows as: {reason}"
        raise RunError(message) from error


def _lost(error: RuntimeError) -> bool:
    """Whether this is what NCCL (a type of its own) or gloo (plain words) say of a process that is gone."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()
