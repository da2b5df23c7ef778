"""Starts the processes that train together, by torch elastic, and ends them together: with one message or with none.

Each process runs the same command with its number in the environment, in a session of its own, so that Ctrl-C reaches
the launcher alone, which passes it on once. A process that dies takes the others along: none waits for it forever.

Elastic takes any exit code but 0 for a failure and ends the others, which may still be saving. So a process that was
interrupted, and has saved, exits with 0; its error file says that it was.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import distributed
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std, start_processes
from torch.distributed.elastic.multiprocessing.api import RunProcsResult, SubprocessContext

from n2nsurgery.core.errors import LostProcessError, N2NSurgeryError, RunError
from n2nsurgery.training.distributed.error_files import LAUNCHED, done_file, first_error
from n2nsurgery.training.distributed.stop import stop_requests

_HOST = "127.0.0.1"
_POLL = 0.05
_TAIL = 2000
_ELASTIC_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


def launch(command: Sequence[str], processes: int) -> None:
    """Run `command` in `processes` processes to their end; process 0 has our stdout and stderr, the others none.

    They meet at a port that this process holds from the start, so nobody else can take it. Raises the error with which
    the first of them failed, RunError for one that was killed, InterruptionError where we were asked to stop and they
    have saved their state.
    """
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as folder, stop_requests() as stopped, _elastic_silent():
        error = _ended_with(command, processes, folder, stopped)
    if error is not None:
        raise error


def _ended_with(
    command: Sequence[str], processes: int, folder: str, stopped: Callable[[], str | None]
) -> N2NSurgeryError | None:
    """The error with which the run ended, None for a good end."""
    store_type: Any = vars(distributed)["TCPStore"]  # public, though not marked as exported
    store = store_type(_HOST, 0, is_master=True, wait_for_workers=False)
    context = _started(command, processes, store.port, folder)
    try:
        result = _wait(context, stopped)
    finally:
        context.close(death_sig=signal.SIGKILL)  # those that are left where somebody insists on the end
    return _error(context, result)


def _started(command: Sequence[str], processes: int, port: int, folder: str) -> SubprocessContext:
    common = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is ours, and no process opens another one there
        LAUNCHED: "1",
    }
    ranks = range(processes)
    with _handlers_kept():
        context = start_processes(
            "n2nsurgery",
            command[0],
            args={rank: tuple(command[1:]) for rank in ranks},
            envs={rank: common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in ranks},
            logs_specs=DefaultLogsSpecs(
                log_dir=folder, redirects={rank: Std.ALL if rank else Std.NONE for rank in ranks}
            ),
        )
    assert isinstance(context, SubprocessContext)  # the entry point is a command
    return context


def _wait(context: SubprocessContext, stopped: Callable[[], str | None]) -> RunProcsResult:
    """Wait until all have ended well or one has not, whereupon elastic ends the others. Passes a wish to stop on."""
    passed_on = False
    while (result := context.wait(timeout=_POLL, period=_POLL)) is None:
        if not passed_on and stopped() is not None:
            passed_on = True
            for handler in context.subprocess_handlers.values():
                handler.proc.send_signal(signal.SIGTERM)
    return result


def _error(context: SubprocessContext, result: RunProcsResult) -> N2NSurgeryError | None:
    """What ended the run: the first error reported, else the first that ended without a word; None for all well.

    Failures stand in the order in which they were noticed; elastic ends the others after the first. Once process 0 has
    said that the work is done, nothing that happens to a process is a failure: an interpreter that ends while gloo's
    threads are alive may abort.
    """
    files = {rank: Path(file) for rank, file in context.error_files.items()}
    reported = first_error(files.items())
    if reported is None or isinstance(reported[1], LostProcessError):
        silent = [rank for rank in result.failures if not files[rank].exists()]
        if silent and not done_file(files[0]).exists():
            return _silent_end(context, silent[0], result.failures[silent[0]].exitcode)
    if reported is None:
        return None
    rank, error = reported
    return type(error)(f"{error} (process {rank} of {context.nprocs})")


def _silent_end(context: SubprocessContext, rank: int, code: int) -> RunError:
    """The error of a process that reported none: the signal that killed it, or its code and last words."""
    head = f"process {rank} of {context.nprocs}"
    if code < 0:
        return RunError(f"{head} was killed by {signal.Signals(-code).name}; the others were ended")
    file = context.stderrs[rank]
    words = Path(file).read_bytes()[-_TAIL:].decode(errors="replace").strip() if file else ""
    return RunError(f"{head} ended with code {code}{': ' if words else ''}{words}")


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Inside, elastic may install its own signal handlers, which end everything at once; afterwards ours are back."""
    numbers = [getattr(signal, name) for name in _ELASTIC_SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError):  # not the main thread, where elastic installs none either
                signal.signal(number, handler)


@contextmanager
def _elastic_silent() -> Iterator[None]:
    """Inside, elastic neither logs what the one message says, nor warns of log files that it does not close itself."""
    logger = logging.getLogger("torch.distributed.elastic")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        logger.setLevel(level)
