"""How one process of several tells the one that started it what became of it: a small JSON file, written in its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from n2nsurgery.core import errors
from n2nsurgery.core.errors import N2NSurgeryError, RunError
from n2nsurgery.core.files import atomic_file

REPORTS = "N2NSURGERY_RANK_REPORTS"
"""The environment variable that names the folder of the reports."""


def exit_code_of(error: BaseException) -> int:
    """The exit code of a process that ends with `error`."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return errors.InterruptionError.exit_code
    return error.exit_code if isinstance(error, N2NSurgeryError) else 1


def write_report(folder: str, environment: Mapping[str, str], error: BaseException | None) -> None:
    """Say that this process is done, or with what it failed."""
    report: dict[str, Any] = {"done": error is None}
    if error is not None:
        known = isinstance(error, N2NSurgeryError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        report |= {"error": type(error).__name__ if known else "RunError", "message": message}
    with atomic_file(_path(Path(folder), int(environment["RANK"])), overwrite=True) as staging:
        staging.write_text(json.dumps(report), encoding="utf-8")


def first_error(folder: Path, processes: int) -> tuple[int, N2NSurgeryError] | None:
    """The process that reported an error first, and the error; what others report may be its consequence."""
    reports = [(path.stat().st_mtime_ns, rank) for rank in range(processes) if (path := _path(folder, rank)).is_file()]
    for _, rank in sorted(reports):
        report = json.loads(_path(folder, rank).read_text(encoding="utf-8"))
        if not report["done"]:
            kind = getattr(errors, report["error"], RunError)
            return rank, kind(report["message"])
    return None


def is_done(folder: Path, rank: int) -> bool:
    """Whether a process reported that it came to its end."""
    path = _path(folder, rank)
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8"))["done"])


def _path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"
