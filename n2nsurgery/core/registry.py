"""A registry is a folder: each file in it is one member, found by its file name.

Names come from the file system, so listing them imports nothing; a member's module is imported when it is asked
for. `X_y.py` holds the member named `x-y` under the module attribute `MEMBER`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar, cast

from n2nsurgery.core.names import unknown

T = TypeVar("T")


def member_files(package: str) -> dict[str, Path]:
    """The files of a registry's members by name, sorted; neither the package nor those above are imported."""
    folder = Path(__file__).parents[1].joinpath(*package.split(".")[1:])
    files = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    return {path.stem.replace("_", "-"): path for path in files}


def registered_names(package: str) -> tuple[str, ...]:
    """The names of a registry's members, sorted, as `member_files` has them."""
    return tuple(member_files(package))


@dataclass(frozen=True, kw_only=True)
class Registry(Generic[T]):
    """The members of one package; `kind` is the word used in messages, `aliases` map other names to members."""

    kind: str
    package: str
    aliases: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Every member's name, sorted, without importing any."""
        path = importlib.import_module(self.package).__path__
        return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))

    def canonical(self, name: str) -> str:
        """`name` with its alias resolved; raises UnknownNameError with the nearest name."""
        resolved = self.aliases.get(name.lower(), name.lower().replace("_", "-"))
        if resolved not in self.names():
            raise unknown(self.kind, name, sorted({*self.names(), *self.aliases}))
        return resolved

    def get(self, name: str) -> T:
        """The member called `name` (or by an alias)."""
        module = importlib.import_module(f"{self.package}.{self.canonical(name).replace('-', '_')}")
        return cast("T", module.MEMBER)
