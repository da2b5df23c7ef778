"""Several processes that train together: one group, DDP, sums over all, and proofs that all hold the same.

The processes are those of torchrun, of `distributed_launch` or of srun; each says in the environment which one it is.
What lies on GPUs travels by NCCL between them; all else, and every small number, by gloo between CPUs, so that asking
for one never waits for a GPU.

A process that dies closes its connections, and whoever waits for it fails with a LostProcessError: the cause is told by
the one that died, by `distributed_launch` or by torchrun, which also end those that do not notice. One that lives and
does not answer is given up after `timeout` seconds.

An interpreter that ends while DDP or gloo objects are alive may abort. So the wrapper is dropped and collected before
the group is destroyed, and a process that failed ends at once, without taking the interpreter apart.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from torch.nn.parallel import DistributedDataParallel

from n2nsurgery.core.errors import InterruptionError, LostProcessError, RunError, VerificationError, first_line
from n2nsurgery.core.processes.distributed_context import DistributedContext, SingleProcess
from n2nsurgery.training.config.device import choose_device
from n2nsurgery.training.distributed.environment import RankEnvironment, place_among_processes
from n2nsurgery.training.distributed.error_files import LAUNCHED, done_file, exit_code_of

_LOG = logging.getLogger(__name__)
TIMEOUT = 1800.0
_PATIENCE = 5.0  # seconds that the processes have to meet before a line says who is waited for


class TorchDistributedContext:
    """The DistributedContext of a process group that is up; made by `joined`."""

    def __init__(self, device: torch.device, control: Any, local_rank: int) -> None:  # noqa: ANN401 - torch's is open
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        self.local_rank = local_rank
        self.device = device
        self._control = control
        self._parent = os.getppid()

    def wrap_ddp(self, network: nn.Module, *, find_unused: bool = False) -> nn.Module:
        """`network` with its gradients averaged over all processes after every backward pass."""
        if not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=find_unused)

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
def joined(
    device: str = "auto", environment: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT
) -> Iterator[DistributedContext]:
    """The processes this one was started among; this one alone where nobody started others.

    `timeout`: seconds after which one that does not answer is given up, at the start and later. A failure is written
    to the error file that torch elastic asks for; inside a process of `distributed_launch` it ends it at once. Raises
    UsageError for an incomplete environment, RunError where the processes do not meet or a GPU is not there.
    """
    environment = os.environ if environment is None else environment
    place = place_among_processes(environment)
    if place is None:
        yield SingleProcess(device=choose_device(device))
        return
    launched = LAUNCHED in environment
    try:
        group = _group(device, place, timeout)
        with _losses_named(timeout):
            yield group
    except BaseException as error:
        get_error_handler().record_exception(error)  # before the others notice that we are gone, and report that
        if launched:
            _leave(0 if isinstance(error, InterruptionError) else exit_code_of(error))
        _clear_frames(error)
        raise
    finally:
        gc.collect()
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if launched:
        if place.rank:
            _leave(0)  # its work is done, and process 0 alone has something to say
        done_file(Path(environment["TORCHELASTIC_ERROR_FILE"])).touch()


def _leave(code: int) -> None:
    """End this process without taking the interpreter apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what the frames of `error` and of its causes hold: the wrapper may live in one of them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _group(device: str, place: RankEnvironment, timeout: float) -> TorchDistributedContext:
    chosen = choose_device("cuda" if device.startswith("cuda") else device, place.local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    patience = timedelta(seconds=timeout)
    try:
        with _waiting_said(place):
            distributed.init_process_group(
                "nccl" if chosen.type == "cuda" else "gloo",
                init_method=f"tcp://{place.address}",
                rank=place.rank,
                world_size=place.size,
                timeout=patience,
            )
            control: Any = distributed.group.WORLD
            if chosen.type == "cuda":
                control = distributed.new_group(backend="gloo", timeout=patience)
    except RuntimeError as error:  # a DistError of the store or of NCCL, or gloo in plain words
        raise RunError(
            f"{place.size} processes cannot meet at {place.address} (MASTER_ADDR, MASTER_PORT) within {timeout:g} "
            f"seconds: {first_line(error)}"
        ) from error
    return TorchDistributedContext(chosen, control, place.local_rank)


@contextmanager
def _waiting_said(place: RankEnvironment) -> Iterator[None]:
    """Inside, a line says after some seconds that the others are waited for."""
    line = "process %d is waiting for %d processes at %s (MASTER_ADDR, MASTER_PORT)"
    timer = threading.Timer(_PATIENCE, _LOG.warning, (line, place.rank, place.size, place.address))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _losses_named(timeout: float) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _lost(error):
            raise
        reason = first_line(error)
        if "timed out" in reason.lower() or "timeout" in reason.lower():
            raise RunError(
                f"another process did not answer within {timeout:g} seconds: it was stopped, is much slower or does "
                f"something else (train.distributed_timeout gives it longer); here it shows as: {reason}"
            ) from error
        raise LostProcessError(
            f"another process failed or was killed, and its message says why; here it shows as: {reason}"
        ) from error


def _lost(error: RuntimeError) -> bool:
    """Whether this is what NCCL (a type of its own) or gloo (plain words) say of a process that is gone."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()
