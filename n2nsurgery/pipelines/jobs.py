"""Jobs: pieces of an experiment that are done once each, in order; what is finished is never done again.

A job leaves `<key>.json` in the folder, written when all of it is done. Jobs run here one after the other, or in
processes of their own where there are several places to compute at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from n2nsurgery.core.errors import InterruptionError, InvalidFileError, RunError, UsageError
from n2nsurgery.core.files import write_text
from n2nsurgery.train.config.device import choose_device

Report = Callable[[str, float], None]
Document = dict[str, Any]


class Job(Protocol):
    """Something to be done; it is handed to other processes as a value."""

    @property
    def key(self) -> str:
        """A name for its files: readable words, a dash, and a hash of whatever would give another result."""
        ...

    def carry_out(self, folder: Path, device: str, report: Report) -> Document:
        """Do it on `device`, with its own files in `folder`; the result as JSON values.

        RunError where this job alone cannot be done, InterruptionError where it was stopped and can go on.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """Somewhere to compute: a device, and on the CPU the number of threads (None: torch's own choice)."""

    device: str
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Results by key; `failures`: what was wrong with the jobs that have none."""

    documents: Mapping[str, Document]
    failures: Mapping[str, str]


def places(device: str, workers: int | None = None) -> tuple[Place, ...]:
    """Where jobs are done: once on every GPU there is, or on the CPU; `workers` at a time where that is given.

    Several workers on the CPU share its cores: on few cores, one thread each does more than one job with all of them.
    Raises RunError for a device that is not there, UsageError for a number of workers below 1.
    """
    import torch

    if workers is not None and workers < 1:
        raise UsageError(f"--workers is {workers}; it must be at least 1")
    if choose_device(device).type == "cpu":
        if workers is None:
            return (Place(device="cpu"),)
        return (Place(device="cpu", threads=max(1, (os.cpu_count() or 1) // workers)),) * workers
    chosen = [device] if ":" in device else [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return tuple(Place(device=chosen[number % len(chosen)]) for number in range(workers or len(chosen)))


def finished_jobs(jobs: Sequence[Job], folder: Path) -> Finished:
    """The results of those jobs that are finished; RunError where none is."""
    found = {job.key: document for job in jobs if (document := read_result(folder, job.key)) is not None}
    if not found:
        raise RunError(f"'{folder}' holds no result of these {len(jobs)} trainings; leave --finished out to train them")
    return Finished(documents=found, failures={})


def carry_out_all(jobs: Sequence[Job], folder: Path, at: Sequence[Place], report: Report) -> Finished:
    """The results of all jobs, those in `folder` from before among them; the others are done in their order.

    A job that fails by a RunError is noted and the rest goes on; RunError where none is left. Raises any other error
    of a job, and InterruptionError where somebody asked for the end: the same call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    distinct = {job.key: job for job in jobs}
    documents = {key: document for key in distinct if (document := read_result(folder, key)) is not None}
    open_jobs = [job for key, job in distinct.items() if key not in documents]
    failures: Mapping[str, str] = {}
    if len(at) == 1 or len(open_jobs) == 1:
        failures = _in_turn(open_jobs, folder, at[0], report)
    elif open_jobs:
        from n2nsurgery.pipelines.job_processes import in_processes

        failures = in_processes(open_jobs, folder, at, report)
    for job in open_jobs:
        if job.key not in failures:
            document = read_result(folder, job.key)
            if document is None:
                raise stopped_error(f"'{job.key}' was stopped")
            documents[job.key] = document
    if failures and not documents:
        raise RunError(next(iter(failures.values())))
    return Finished(documents=documents, failures=failures)


def carry_out(job: Job, folder: Path, device: str, report: Report) -> None:
    """Do one job and write its result; errors as its own."""
    document = job.carry_out(folder, device, report)
    write_text(_path(folder, job.key), json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_result(folder: Path, key: str) -> Document | None:
    """The result of a finished job, None where there is none; InvalidFileError where it cannot be read."""
    path = _path(folder, key)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFileError(f"'{path}' is no result that can be read: {error}; remove it to do it again") from error
    if not isinstance(document, dict):
        raise InvalidFileError(f"'{path}' is no result: it holds no JSON object; remove it to do it again")
    return document


def stopped_error(reason: str) -> InterruptionError:
    """The error of a series of jobs that was stopped."""
    return InterruptionError(f"{reason}; what is finished is kept: the same command goes on from there")


def _in_turn(jobs: Sequence[Job], folder: Path, place: Place, report: Report) -> dict[str, str]:
    failures: dict[str, str] = {}
    for number, job in enumerate(jobs):
        head = f"{number + 1} of {len(jobs)}: {job.key}"

        def within(stage: str, done: float, head: str = head, number: int = number) -> None:
            report(f"{head}, {stage}", (number + done) / len(jobs))

        try:
            carry_out(job, folder, place.device, within)
        except InterruptionError as error:
            raise stopped_error(str(error)) from error
        except RunError as error:
            failures[job.key] = str(error)
    return failures


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"
