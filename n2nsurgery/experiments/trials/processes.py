"""Jobs in processes of their own, one for each place to compute at; each takes the next job as soon as it is free.

Results go through files, so that a process which dies loses nothing but the job it was at. Ctrl-C reaches this process
alone, which passes it on: every job then saves what it can and ends.

The pool of concurrent.futures does not serve: it has no way to pass a wish to stop on to its processes (before Python
3.14), does not tell how one of them ended, and leaves them behind where this process is killed.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from n2nsurgery.core import errors
from n2nsurgery.core.errors import InterruptionError, N2NSurgeryError, RunError
from n2nsurgery.core.progress import Progress
from n2nsurgery.experiments.trials.job import Job, WorkerSlot, run_job, stopped_error
from n2nsurgery.plugins import import_plugins, imported_plugins
from n2nsurgery.training.distributed.stop import stop_requests

_POLL = 0.2  # seconds between two looks at whether somebody asked for the end
_GRACE = 60.0  # seconds that jobs have to save their state
_CONTEXT = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA, and inherits locks of threads


@dataclass(frozen=True, kw_only=True)
class _Message:
    """What a process reports: job `number` is done, or (`problem`) failed; `error` ends everything, by its class."""

    number: int
    problem: str | None = None
    error: str | None = None


def in_processes(
    jobs: Sequence[Job], folder: Path, worker_slots: Sequence[WorkerSlot], progress: Progress
) -> dict[str, str]:
    """Do all `jobs`; what was wrong with those that failed by a RunError, by key. Other errors as `run_all`."""
    taken = _CONTEXT.Value("q", 0)
    with stop_requests() as stopped:
        running: dict[Connection, BaseProcess] = {}
        try:
            for slot in worker_slots[: len(jobs)]:
                inbox, outbox = _CONTEXT.Pipe(duplex=False)
                process = _CONTEXT.Process(
                    target=_work, args=(jobs, folder, slot, taken, outbox, imported_plugins()), daemon=True
                )
                process.start()
                outbox.close()  # the process has its own; the last one closed is what ends the inbox
                running[inbox] = process
            failures: dict[str, str] = {}
            done = 0
            while running:
                for message in _received(running):
                    done += 1
                    _raise_if_fatal(message, jobs)
                    key = jobs[message.number].key
                    progress(f"{done} of {len(jobs)} done: {key}", done / len(jobs))
                    if message.problem is not None:
                        failures[key] = message.problem
                if (reason := stopped()) is not None:
                    raise stopped_error(f"interrupted by {reason}")
        finally:
            _end(list(running.values()))
    return failures


def _received(running: dict[Connection, BaseProcess]) -> list[_Message]:
    """The messages since the last look; finished processes are removed from `running`."""
    messages: list[_Message] = []
    for inbox in wait(list(running), timeout=_POLL):
        assert isinstance(inbox, Connection)
        try:
            messages.append(inbox.recv())
        except EOFError:
            process = running.pop(inbox)
            process.join()
            inbox.close()
            if process.exitcode:
                raise RunError(
                    f"a process that trains ended with code {process.exitcode}; what is finished is kept: "
                    "the same command goes on from there"
                ) from None
    return messages


def _raise_if_fatal(message: _Message, jobs: Sequence[Job]) -> None:
    if message.error is not None:
        kind: type[N2NSurgeryError] = getattr(errors, message.error)
        raise kind(f"{jobs[message.number].key}: {message.problem}")


def _end(processes: Sequence[BaseProcess]) -> None:
    """Ask those that are left to stop, wait while they save, then end them."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _work(  # noqa: PLR0913, PLR0917 - what a process needs to know
    jobs: Sequence[Job],
    folder: Path,
    slot: WorkerSlot,
    taken: Synchronized[int],
    outbox: Connection,
    plugins: tuple[str, ...],
) -> None:
    """Do one job after the other until none is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; SIGTERM is how it is passed on
    import_plugins(plugins)
    if slot.threads is not None:
        import torch

        torch.set_num_threads(slot.threads)
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(jobs):
            return
        with suppress(BrokenPipeError):  # nobody listens any more: the next look at the parent ends this
            outbox.send(_done(jobs[number], number, folder, slot))


def _done(job: Job, number: int, folder: Path, slot: WorkerSlot) -> _Message:
    try:
        run_job(job, folder, slot.device, lambda _stage, _done: None)
    except InterruptionError:
        sys.exit(0)  # asked for by the parent, which knows
    except RunError as error:
        return _Message(number=number, problem=str(error))
    except N2NSurgeryError as error:
        return _Message(number=number, problem=str(error), error=type(error).__name__)
    return _Message(number=number)
