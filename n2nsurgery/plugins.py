"""Plugins: modules of a user's own that are imported for what they register.

Importing runs their code, so it happens only for names that were given at the command line, in Python or in the
environment, and for those of a recipe where that was allowed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from n2nsurgery.core.errors import RunError, UsageError

_IMPORTED: dict[str, None] = {}  # by name, in the order in which they were imported


def import_plugins(names: Iterable[str]) -> None:
    """Import the modules called `names` (`package.module`), found on Python's path or in the current folder.

    The current folder stays on the path, for what a plugin imports later. Raises UsageError for a name that is none of
    a module or that is not found, RunError where the module fails while it is imported.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"the plugin '{name}' is no module's name; give it as in `import`: package.module")
        try:
            import_from_here(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise RunError(f"the plugin '{name}' needs the module '{error.name}', which is missing") from error
            raise UsageError(
                f"the plugin '{name}' is not found; install its package, or run where `import {name}` works: "
                f"'{Path.cwd()}' was looked in too"
            ) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise RunError(f"the plugin '{name}' fails while it is imported: {reason}") from error
        _IMPORTED[name] = None


def import_from_here(name: str) -> ModuleType:
    """The module called `name`, from Python's path or the current folder, which stays on the path."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def imported_plugins() -> tuple[str, ...]:
    """The names of the plugins that this process has imported, for processes that it starts."""
    return tuple(_IMPORTED)
