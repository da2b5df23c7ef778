"""Where data sets lie: below a root folder, at one of a few known names; and what to say where they do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from n2nsurgery.core.errors import UsageError

ROOT_VARIABLE = "N2NSURGERY_DATA"
_DEFAULT = "data"


def data_root(root: Path | None) -> Path:
    """`root`, or the folder named by the environment's N2NSURGERY_DATA, or ./data; `~` is expanded.

    Raises UsageError for the home folder of a user that does not exist.
    """
    chosen = Path(os.environ.get(ROOT_VARIABLE) or _DEFAULT) if root is None else Path(root)
    try:
        return chosen.expanduser()
    except RuntimeError as error:
        raise UsageError(f"'{chosen}' names no home folder: {error}; give the data folder in full") from error


def located(path: str, root: Path) -> Path | None:
    """The file or folder `path`: below the data folder `root`, else in the current folder, else None; `~` is expanded.

    Raises UsageError like `data_root`.
    """
    given = data_root(Path(path))
    return next((each for each in (root / given, given) if each.exists()), None)


def first_present(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `names` that exists below `root`, as a path, or None."""
    return next((path for path in (root / name for name in names) if path.exists()), None)


def missing(data_set: str, root: Path, names: Sequence[str], advice: str, *, here: bool = False) -> UsageError:
    """The error for a data set of which none of `names` is below `root`, nor in the current folder where `here`.

    `advice` says how to get it.
    """
    places = ", ".join(names)
    there = "" if root.is_dir() else " (no such folder)"
    current = f", nor in the current folder '{Path.cwd()}'" if here else ""
    return UsageError(
        f"{data_set} was not found in '{root.absolute()}'{there}{current}; looked for: {places}. {advice} "
        f"Another folder is taken with --data-root or from the environment's {ROOT_VARIABLE}."
    )
