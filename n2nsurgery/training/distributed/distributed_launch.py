"""Starts the processes that train together, as torchrun does, and ends them together: with one message or with none.

Each process runs the same command with its number in the environment, in a session of its own, so that Ctrl-C reaches
the launcher alone, which passes it on once. A process that dies takes the others along: none waits for it forever.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from n2nsurgery.core.errors import InterruptionError, N2NSurgeryError, RunError
from n2nsurgery.training.distributed.rank_report import REPORTS, first_error, is_done
from n2nsurgery.training.distributed.stop import stop_requests

_POLL = 0.05
_GRACE = 5.0
_TAIL = 2000


def launch(command: Sequence[str], processes: int) -> None:
    """Run `command` in `processes` processes to their end; process 0 has our stdout and stderr, the others none.

    Raises the error with which the first of them failed, RunError for one that was killed, InterruptionError where we
    were asked to stop and they have saved their state.
    """
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as name, stop_requests() as stopped:
        folder = Path(name)
        group = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        environment = os.environ | group | {REPORTS: name}
        running: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(processes):
                running.append(_started(command, rank, environment, folder))  # noqa: PERF401 - ended if the next fails
            failed = _wait(running, stopped)
        finally:
            _end(running)
        error = _error(folder, [process.returncode for process in running], failed)
    if error is not None:
        raise error


def _started(command: Sequence[str], rank: int, environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    own = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with _stderr(folder, rank).open("wb") as errors:
        return subprocess.Popen(  # noqa: S603 - the command that we were started with
            command,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if rank else None,
            stderr=errors if rank else None,
            start_new_session=True,
        )


def _wait(running: Sequence[subprocess.Popen[bytes]], stopped: Callable[[], str | None]) -> list[int]:
    """Wait until all have ended well or some have not; returns the ranks of those. Passes a wish to stop on."""
    passed_on = False
    while _alive(running):
        if not passed_on and stopped() is not None:
            passed_on = True
            for process in running:
                process.terminate()
        if failed := _failed(running):
            return failed
        time.sleep(_POLL)
    return _failed(running)


def _alive(running: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Whether any is left; every one is asked, for that is what takes in its exit code."""
    return None in [process.poll() for process in running]


def _failed(running: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Ranks that failed; one that stopped as it was asked to has not, and others may still be saving."""
    well = {None, 0, InterruptionError.exit_code}
    return [rank for rank, process in enumerate(running) if process.returncode not in well]


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Give those that are left a moment to notice that others are gone, then kill them."""
    deadline = time.monotonic() + _GRACE
    while _alive(running) and time.monotonic() < deadline:
        time.sleep(_POLL)
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def _error(folder: Path, codes: Sequence[int], failed: Sequence[int]) -> N2NSurgeryError | None:
    """What ended the run: a process that was killed, else the first error reported, else a code; None for all well.

    `failed`: those that had failed when the first failure was seen; what came later may be its consequence. A process
    that had reported its end and was then aborted has done its work.
    """
    failed = [rank for rank in failed if not is_done(folder, rank)]
    for rank in failed:
        if codes[rank] < 0 and codes[rank] != -signal.SIGABRT:
            name = signal.Signals(-codes[rank]).name
            return RunError(f"process {rank} of {len(codes)} was killed by {name}; the others were ended")
    if (reported := first_error(folder, len(codes))) is not None:
        rank, error = reported
        return type(error)(f"{error} (process {rank} of {len(codes)})")
    for rank in failed:
        words = _stderr(folder, rank).read_bytes()[-_TAIL:].decode(errors="replace").strip() if rank else ""
        return RunError(f"process {rank} of {len(codes)} ended with code {codes[rank]}{': ' if words else ''}{words}")
    return None


def _stderr(folder: Path, rank: int) -> Path:
    return folder / f"stderr-{rank}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
