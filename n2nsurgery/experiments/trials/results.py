"""The results of an experiment's jobs, as its ExperimentConfig says: run all, run some by name, or look them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from n2nsurgery.core.names import select
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.experiments.trials.job import Finished, Job
from n2nsurgery.experiments.trials.jobs import finished_jobs, run_all, worker_slots

TRIALS = "cells"  # folder of an experiment's trials, by the name that it has had since the first experiments


def results_of(jobs: Sequence[Job], folder: Path, config: ExperimentConfig) -> Finished:
    """The results of `jobs` in `folder`; errors as `run_all`, `finished_jobs` and `chosen`."""
    if config.finished:
        return finished_jobs(jobs, folder)
    if not config.only:
        return run_all(jobs, folder, worker_slots(config.device, config.workers), config.progress)
    some = chosen(jobs, config.only)
    failures = run_all(some, folder, worker_slots(config.device, config.workers), config.progress).failures
    return replace(finished_jobs(jobs, folder), failures=failures)


def chosen(jobs: Sequence[Job], patterns: Sequence[str]) -> list[Job]:
    """Those of `jobs` whose key, without its hash, matches one of `patterns`; in the order of the jobs.

    Raises UnknownNameError, with the nearest name, for a pattern that matches none.
    """
    names = [job.key.rpartition("-")[0] for job in jobs]
    matching = {name for pattern in patterns for name in select(pattern, names, kind="training")}
    return [job for job, name in zip(jobs, names, strict=True) if name in matching]
