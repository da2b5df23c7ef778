"""Jobs: pieces of an experiment that are done once each, in order; what is finished is never done again.

A job leaves `<key>.json` in the folder, written when all of it is done. Jobs run here one after the other, or in
processes of their own where there are several places to compute at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from n2nsurgery.core.errors import InterruptionError, RunError, UsageError
from n2nsurgery.core.progress import Progress
from n2nsurgery.experiments.trials.job import Finished, Job, WorkerSlot, read_result, run_job, stopped_error
from n2nsurgery.experiments.trials.processes import in_processes
from n2nsurgery.training.config.device import choose_device


def worker_slots(device: str, workers: int | None = None) -> tuple[WorkerSlot, ...]:
    """Where jobs are done: once on every GPU there is, or on the CPU; `workers` at a time where that is given.

    Several workers on the CPU share its cores: on few cores, one thread each does more than one job with all of them.
    Raises RunError for a device that is not there, UsageError for a number of workers below 1.
    """
    import torch

    if workers is not None and workers < 1:
        raise UsageError(f"--workers is {workers}; it must be at least 1")
    if choose_device(device).type == "cpu":
        if workers is None:
            return (WorkerSlot(device="cpu"),)
        return (WorkerSlot(device="cpu", threads=max(1, (os.cpu_count() or 1) // workers)),) * workers
    chosen = [device] if ":" in device else [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return tuple(WorkerSlot(device=chosen[number % len(chosen)]) for number in range(workers or len(chosen)))


def finished_jobs(jobs: Sequence[Job], folder: Path) -> Finished:
    """The results of those jobs that are finished; RunError where none is."""
    found = {job.key: document for job in jobs if (document := read_result(folder, job.key)) is not None}
    if not found:
        raise RunError(f"'{folder}' holds no result of these {len(jobs)} trainings; leave --finished out to train them")
    return Finished(documents=found, failures={})


def run_all(jobs: Sequence[Job], folder: Path, at: Sequence[WorkerSlot], progress: Progress) -> Finished:
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
        failures = _in_turn(open_jobs, folder, at[0], progress)
    elif open_jobs:
        failures = in_processes(open_jobs, folder, at, progress)
    for job in open_jobs:
        if job.key not in failures:
            document = read_result(folder, job.key)
            if document is None:
                raise stopped_error(f"'{job.key}' was stopped")
            documents[job.key] = document
    if failures and not documents:
        key, reason = next(iter(failures.items()))
        raise RunError(f"all {len(failures)} trainings failed; '{key}': {reason}" if len(failures) > 1 else reason)
    return Finished(documents=documents, failures=failures)


def _in_turn(jobs: Sequence[Job], folder: Path, slot: WorkerSlot, progress: Progress) -> dict[str, str]:
    failures: dict[str, str] = {}
    for number, job in enumerate(jobs):
        head = f"{number + 1} of {len(jobs)}: {job.key}"

        def within(stage: str, done: float, head: str = head, number: int = number) -> None:
            progress(f"{head}, {stage}", (number + done) / len(jobs))

        try:
            run_job(job, folder, slot.device, within)
        except InterruptionError as error:
            raise stopped_error(str(error)) from error
        except RunError as error:
            failures[job.key] = str(error)
    return failures
