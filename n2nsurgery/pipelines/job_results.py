"""The results of an experiment's jobs, as its setting says: done where they are missing, or only looked up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from n2nsurgery.pipelines.jobs import Finished, Job, carry_out_all, finished_jobs, places
from n2nsurgery.pipelines.reproduction import Setting


def results_of(jobs: Sequence[Job], folder: Path, setting: Setting) -> Finished:
    """The results of `jobs` in `folder`; errors as `carry_out_all` and `finished_jobs`."""
    if setting.finished:
        return finished_jobs(jobs, folder)
    return carry_out_all(jobs, folder, places(setting.device, setting.workers), setting.report)
