"""What became of one process of several, as the one that started it reads it: torch elastic's error files.

`joined` writes one through torch, `{"message": {"message": "UsageError: ..."}}`, whoever started the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from n2nsurgery.core import errors
from n2nsurgery.core.errors import LostProcessError, N2NSurgeryError, RunError

LAUNCHED = "N2NSURGERY_LAUNCHED"
"""The environment variable that tells a process that `distributed_launch` started it."""


def exit_code_of(error: BaseException) -> int:
    """The exit code of a process that ends with `error`."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return errors.InterruptionError.exit_code
    return error.exit_code if isinstance(error, N2NSurgeryError) else 1


def first_error(files: Iterable[tuple[int, Path]]) -> tuple[int, N2NSurgeryError] | None:
    """The process that reported an error first, and the error, from `files` by rank; None where none did.

    A LostProcessError is the consequence of another error: it counts only where nothing else was reported.
    """
    reports = sorted((path.stat().st_mtime_ns, rank, path) for rank, path in files if path.is_file())
    found = [(rank, error) for _, rank, path in reports if (error := _read(path)) is not None]
    causes = [entry for entry in found if not isinstance(entry[1], LostProcessError)]
    return next(iter(causes or found), None)


def done_file(error_file: Path) -> Path:
    """The file by which process 0 says that the work is done: what happens to a process after that is not a failure."""
    return error_file.with_name("done")


def _read(path: Path) -> N2NSurgeryError | None:
    """The error of a file, with its own class where that is one of ours; None for a file that was cut off."""
    try:
        text = str(json.loads(path.read_text(encoding="utf-8"))["message"]["message"])
    except (ValueError, KeyError, TypeError):
        return None
    name, _, message = text.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, N2NSurgeryError):
        return kind(message)
    return RunError(text)
