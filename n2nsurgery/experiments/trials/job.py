"""A job: a piece of an experiment that is done once and leaves `<key>.json` in the folder when all of it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from n2nsurgery.core.errors import InterruptionError, InvalidFileError
from n2nsurgery.core.files import write_text
from n2nsurgery.core.progress import Progress

Document = dict[str, Any]


class Job(Protocol):
    """Something to be done; it is handed to other processes as a value."""

    @property
    def key(self) -> str:
        """A name for its files: readable words, a dash, and a hash of whatever would give another result."""
        ...

    def run(self, folder: Path, device: str, progress: Progress) -> Document:
        """Do it on `device`, with its own files in `folder`; the result as JSON values.

        RunError where this job alone cannot be done, InterruptionError where it was stopped and can go on.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class WorkerSlot:
    """Somewhere to compute: a device, and on the CPU the number of threads (None: torch's own choice)."""

    device: str
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Results by key; `failures`: what was wrong with the jobs that have none."""

    documents: Mapping[str, Document]
    failures: Mapping[str, str]


def run_job(job: Job, folder: Path, device: str, progress: Progress) -> None:
    """Do one job and write its result; errors as its own."""
    document = job.run(folder, device, progress)
    write_text(_path(folder, job.key), json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_result(folder: Path, key: str) -> Document | None:
    """The result of a finished job, None where there is none; InvalidFileError where it cannot be read."""
    path = _path(folder, key)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFileError(
            f"'{path}' is not a result that can be read: {error}; remove it to do it again"
        ) from error
    if not isinstance(document, dict):
        raise InvalidFileError(f"'{path}' is not a result: it holds no JSON object; remove it to do it again")
    return document


def stopped_error(reason: str) -> InterruptionError:
    """The error of a series of jobs that was stopped."""
    return InterruptionError(f"{reason}; what is finished is kept: the same command goes on from there")


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"
