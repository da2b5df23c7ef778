"""A registry: the members of one kind by name, from inside the package and from outside.

    a folder           the file `x_y.py` of `package` holds the member `x-y` under the attribute `MEMBER`
    an entry point     an installed package names a member `x-y` in the entry point group `group`
    this process       `register("x-y")` adds a member, such as a class in a notebook

Listing reads file names and the metadata of installed packages; a member's module is imported when it is asked for.
A name that two origins give is an error that names both.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.names import unknown

T = TypeVar("T")
M = TypeVar("M")
_MEMBER = "MEMBER"
_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a member is defined: `attribute` of `module`, brought by `source`; `value` where it is already at hand."""

    module: str
    attribute: str
    source: str
    value: Any = None

    def __str__(self) -> str:
        target = self.module if self.attribute == _MEMBER else f"{self.module}:{self.attribute}"
        return f"{target} ({self.source})"

    def load(self) -> Any:  # noqa: ANN401 - a member of any registry
        """The member; imports its module."""
        if self.value is not None:
            return self.value
        return reduce(getattr, self.attribute.split("."), importlib.import_module(self.module))

    def imported(self) -> Any:  # noqa: ANN401 - a member of any registry
        """The member where its module is imported already, else None."""
        if self.value is not None:
            return self.value
        found: Any = sys.modules.get(self.module)
        for part in self.attribute.split("."):
            found = getattr(found, part, None)
        return found

    def is_same_as(self, other: _Place) -> bool:
        """Whether both lead to one definition."""
        if (self.module, self.attribute) == (other.module, other.attribute):
            return True
        return self.imported() is not None and self.imported() is other.imported()


@dataclass(frozen=True, kw_only=True, eq=False)
class Registry(Generic[T]):
    """The members of one kind.

    `kind`: the word used in messages. `package`: whose files are members. `group`: the entry point group in which
    installed packages name members; None where none are looked for. `aliases`: other names of members.
    """

    kind: str
    package: str
    group: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    _registered: dict[str, _Place] = field(default_factory=dict, init=False, repr=False)

    def names(self) -> tuple[str, ...]:
        """Every member's name, sorted, without importing any."""
        installed = (_spelled(point.name) for point in self._entry_points())
        return tuple(sorted({*self._files(), *installed, *self._registered}))

    def summaries(self) -> dict[str, str]:
        """What each member is, by name: the first sentence of its file's docstring, or where it comes from.

        Nothing is imported.
        """
        found = {name: " and ".join(map(str, self._places(name))) for name in self.names()}
        for name, module in self._files().items():
            path = Path(__file__).parents[1].joinpath(*self.package.split(".")[1:], f"{module}.py")
            described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[name] = described.partition("\n\n")[0].partition(": ")[2]
        return found

    def canonical(self, name: str) -> str:
        """`name` with its alias resolved; raises UnknownNameError with the nearest name."""
        resolved = self.aliases.get(name.lower(), _spelled(name))
        if resolved not in self.names():
            raise unknown(self.kind, name, sorted({*self.names(), *self.aliases}))
        return resolved

    def get(self, name: str) -> T:
        """The member called `name` (or by an alias).

        Raises UnknownNameError where there is none, UsageError where two origins give it, RunError where the module
        of an installed package cannot be imported.
        """
        known = self.canonical(name)
        place = self._place(known)
        try:
            return cast("T", place.load())
        except (ImportError, AttributeError) as error:
            raise RunError(f"the {self.kind} '{known}' cannot be loaded from {place}: {error}") from error

    def origin(self, name: str) -> str:
        """Where the member called `name` comes from: `package.module:Name (installed by package 1.0)`."""
        return str(self._place(self.canonical(name)))

    def is_foreign(self, name: str) -> bool:
        """Whether the member called `name` comes from outside of `package`."""
        return self._place(self.canonical(name)).source != _BUILT_IN

    def register(self, name: str) -> Callable[[M], M]:
        """A decorator that adds what it decorates under `name` and returns it unchanged.

        Registering what has the same module and qualified name again replaces it, so a notebook's cell can run twice.
        The origin names the calling module where that is not the member's own: importing it is what registers.
        Raises UsageError for a name that is not a valid one, or that another origin has taken; and for what is not a
        class, since a member is made with its options before it is used.
        """
        caller = inspect.currentframe()
        registrar = caller.f_back.f_globals.get("__name__") if caller is not None and caller.f_back else None

        def add(member: M) -> M:
            known = self._free_name(name)
            if not isinstance(member, type):
                raise UsageError(
                    f"the {self.kind} '{known}' is a {type(member).__name__}; register a class: a frozen dataclass"
                    " whose fields are its options"
                )
            place = _Place(
                module=member.__module__,
                attribute=member.__qualname__,
                source=f"registered by {registrar}" if registrar != member.__module__ else "registered in this process",
                value=member,
            )
            for other in self._places(known):
                if not place.is_same_as(other):
                    raise self._taken(known, place, other)
            self._registered[known] = place
            return member

        return add

    def name_of(self, member: object) -> str | None:
        """The name of `member`, a member itself or an instance of one; None where it is of no member.

        No module is imported for it: whatever has an instance is imported already.
        """
        kind = member if isinstance(member, type) else type(member)
        known = (name for name in self.names() if any(place.imported() is kind for place in self._places(name)))
        return next(known, None)

    def _free_name(self, name: str) -> str:
        known = _spelled(name)
        if not _NAME.fullmatch(known):
            raise UsageError(
                f"'{name}' cannot name a {self.kind}; a name is letters and digits, with '-' or '.' between them"
            )
        if known in self.aliases:
            raise UsageError(f"'{known}' is another name of the {self.kind} '{self.aliases[known]}'; choose another")
        return known

    def _place(self, name: str) -> _Place:
        first, *others = self._places(name)
        for other in others:
            if not first.is_same_as(other):
                raise self._taken(name, first, other)
        return first

    def _places(self, name: str) -> list[_Place]:
        """Everything that gives `name`, the member of this process first."""
        found = [self._registered[name]] if name in self._registered else []
        if name in self._files():
            module = f"{self.package}.{self._files()[name]}"
            found.append(_Place(module=module, attribute=_MEMBER, source=_BUILT_IN))
        return [*found, *(_installed(point) for point in self._entry_points() if _spelled(point.name) == name)]

    def _files(self) -> Mapping[str, str]:
        """The module of each member of the folder, by the member's name; only the top package is imported."""
        top, *parts = self.package.split(".")
        return _modules_in(tuple(str(Path(path, *parts)) for path in importlib.import_module(top).__path__))

    def _entry_points(self) -> Iterator[metadata.EntryPoint]:
        if self.group is not None:
            yield from _entry_points(self.group, tuple(sys.path))

    def _taken(self, name: str, one: _Place, other: _Place) -> UsageError:
        return UsageError(f"two members are called {self.kind} '{name}': {one} and {other}; rename one of them")


_BUILT_IN = "built in"


def _spelled(name: str) -> str:
    return name.lower().replace("_", "-")


def _installed(point: metadata.EntryPoint) -> _Place:
    brought = f"installed by {point.dist.name} {point.dist.version}" if point.dist else "installed"
    return _Place(module=point.module, attribute=point.attr or _MEMBER, source=brought)


@cache
def _modules_in(folders: tuple[str, ...]) -> Mapping[str, str]:
    """The modules in `folders` by the name of their member."""
    modules = (module.name for module in pkgutil.iter_modules(folders))
    return {_spelled(module): module for module in modules if not module.startswith("_")}


@cache
def _entry_points(group: str, _path: tuple[str, ...]) -> tuple[metadata.EntryPoint, ...]:
    """The entry points in `group` of every package on the path; reading them takes some milliseconds."""
    return tuple(metadata.entry_points(group=group))
