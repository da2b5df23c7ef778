"""The results of an experiment's jobs, as its setting says: all are done, or some by name, or they are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from n2nsurgery.core.names import select
from n2nsurgery.experiments.paper.reproduction import Setting
from n2nsurgery.experiments.trials.job import Finished, Job
from n2nsurgery.experiments.trials.jobs import carry_out_all, finished_jobs, places


def results_of(jobs: Sequence[Job], folder: Path, setting: Setting) -> Finished:
    """The results of `jobs` in `folder`; errors as `carry_out_all`, `finished_jobs` and `chosen`."""
    if setting.finished:
        return finished_jobs(jobs, folder)
    if not setting.only:
        return carry_out_all(jobs, folder, places(setting.device, setting.workers), setting.report)
    some = chosen(jobs, setting.only)
    failures = carry_out_all(some, folder, places(setting.device, setting.workers), setting.report).failures
    return replace(finished_jobs(jobs, folder), failures=failures)


def chosen(jobs: Sequence[Job], patterns: Sequence[str]) -> list[Job]:
    """Those of `jobs` whose key, without its hash, matches one of `patterns`; in the order of the jobs.

    Raises UnknownNameError, with the nearest name, for a pattern that matches none.
    """
    names = [job.key.rpartition("-")[0] for job in jobs]
    matching = {name for pattern in patterns for name in select(pattern, names, kind="training")}
    return [job for job, name in zip(jobs, names, strict=True) if name in matching]
