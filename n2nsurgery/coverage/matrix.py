"""The matrix: each model in a process of its own, with limits of time and memory."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from n2nsurgery.core.errors import UsageError
from n2nsurgery.coverage.row import CoverageRow

GIGABYTES = 8
"""The memory that a model of the matrix usually may take."""

_PRELOADED = ["n2nsurgery.coverage.probe"]  # torch is loaded once, and each process begins as a copy
_PRELOADED_FOR_EXPORT = ["torch._dynamo", "torch.export", "onnxscript"]  # five seconds of imports for every model


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one model may take: `seconds` of wall time, `gigabytes` of memory (on Linux); UsageError below 1."""

    seconds: int = 300
    gigabytes: int = GIGABYTES

    def __post_init__(self) -> None:
        """Raise UsageError for limits below 1."""
        if self.seconds < 1 or self.gigabytes < 1:
            raise UsageError(f"limits are at least 1; seen: {self.seconds} s, {self.gigabytes} GB")


def rows(names: Sequence[str], limits: Limits, *, export: bool = True) -> Iterator[CoverageRow]:
    """The row of every model of `names`, one after the other, as each is done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *(_PRELOADED_FOR_EXPORT if export else ())])
    for name in names:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_probe, args=(name, sender, limits.gigabytes, export), daemon=True)
        process.start()
        sender.close()
        try:
            row = _received(name, receiver, process, limits)
            yield row if limits.gigabytes == GIGABYTES else replace(row, gigabytes=limits.gigabytes)
        finally:
            process.kill()
            process.join()


def _received(
    name: str, receiver: Connection, process: multiprocessing.process.BaseProcess, limits: Limits
) -> CoverageRow:
    try:
        if receiver.poll(limits.seconds):
            row: CoverageRow = receiver.recv()
            return row
    except EOFError:  # the process ended without a word
        process.join()
        return CoverageRow(name=name, outcome="failed", reason=f"its process ended with code {process.exitcode}")
    reason = f"took more than {limits.seconds} s"
    return CoverageRow(name=name, outcome="failed", reason=reason, seconds=float(limits.seconds))


def _probe(name: str, sender: Connection, gigabytes: int, export: bool) -> None:  # noqa: FBT001 - an argument of a process
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (gigabytes << 30, gigabytes << 30))
    from n2nsurgery.coverage.probe import probe

    sender.send(probe(name, export=export))
    sender.close()
