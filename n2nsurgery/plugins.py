"""Code of a user's own: modules that are imported for what they register, and objects by `package.module:name`.

Importing runs their code, so it happens only for names that were given at the command line, in Python or in the
environment, and for those of a recipe where that was allowed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from n2nsurgery.core.errors import UsageError

_FILE = ".py"
_IMPORTED: dict[str, None] = {}  # by name, in the order in which they were imported


def import_plugins(names: Iterable[str]) -> None:
    """Import the modules called `names` (`package.module`), found on Python's path or in the current folder.

    The current folder stays on the path, for what a plugin imports later. Raises UsageError for a name that is none of
    a module or that is not found, and where the module fails while it is imported.
    """
    for name in names:
        if name.endswith(_FILE):
            raise UsageError(f"the plugin '{name}' is a file; give its module, '{Path(name).stem}', from its folder")
        _module(name, f"the plugin '{name}'")
        _IMPORTED[name] = None


def import_from_here(name: str) -> ModuleType:
    """The module called `name`, from Python's path or the current folder, which stays on the path."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def import_file(path: Path) -> ModuleType:
    """The module in a file, once for each process; what lies beside the file can be imported by it.

    Whatever its code raises is passed on.
    """
    full = path.resolve()
    name = f"{full.stem}_{hashlib.sha256(str(full).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(full.parent) not in sys.path:
        sys.path.insert(0, str(full.parent))
    spec = importlib.util.spec_from_file_location(name, full)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles look for it
    try:
        spec.loader.exec_module(module)
    except Exception:
        del sys.modules[name]
        raise
    return module


def imported_plugins() -> tuple[str, ...]:
    """The names of the plugins that this process has imported, for processes that it starts."""
    return tuple(_IMPORTED)


def import_object(target: str, *, what: str) -> Any:  # noqa: ANN401 - whatever has that name
    """The object `package.module:name`, its module found as that of a plugin, or `file.py:name`.

    `what`: what it is wanted for, for messages (`the data set`). Raises UsageError where it is not spelled like that or
    not found, and where its module fails while it is imported.
    """
    module, colon, attribute = target.rpartition(":")
    shown = f"{what} '{target}'"
    if not (colon and attribute):
        raise UsageError(f"{shown} names no object; give it as package.module:name or file.py:name")
    found = _module(module, shown)
    try:
        return reduce(getattr, attribute.split("."), found)
    except AttributeError as error:
        raise UsageError(f"{shown} is not found: {error}") from error


def _module(name: str, shown: str) -> ModuleType:
    is_file = name.endswith(_FILE)
    if is_file and not Path(name).is_file():
        raise UsageError(f"{shown} is not found: there is no file '{name}' in the current folder '{Path.cwd()}'")
    if not is_file and not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{shown} is not the name of a module; give it as in `import`: package.module")
    try:
        return import_file(Path(name)) if is_file else import_from_here(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"{shown} needs the module '{error.name}', which is missing") from error
        raise UsageError(
            f"{shown} is not found; install its package, or run where `import {name}` works: "
            f"'{Path.cwd()}' was looked in too"
        ) from error
    except Exception as error:
        raise UsageError(f"{shown} fails while it is imported: {type(error).__name__}: {error}") from error
