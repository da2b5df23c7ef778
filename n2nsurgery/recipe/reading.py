"""From nodes to the dataclasses of other packages: every key known, every type right, every range kept.

A section's type is a dataclass of the package that consumes it: its fields are the keys, their defaults the defaults,
its own checks the ranges. Types are checked by pydantic in strict JSON mode: an integer is a number, a list a tuple,
and nothing else becomes what it is not. All problems of a recipe are collected, so that one run shows them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.names import nearest
from n2nsurgery.recipe.node import Node, Place

T = TypeVar("T")
_WORDS = {
    "a valid number": "a number",
    "a valid integer": "a whole number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "a valid dictionary": "keys with values",
    "an object": "keys with values",
    "None": "null",
}


class BrokenError(Exception):
    """A part of the recipe cannot be built; its problems have been noted."""


@dataclass(frozen=True, kw_only=True)
class Problems:
    """What is wrong with a recipe: places and messages."""

    found: list[tuple[Place, str]] = field(default_factory=list)

    def note(self, place: Place, message: str) -> None:
        """Add one problem."""
        if (place, message) not in self.found:
            self.found.append((place, message))

    def made(self, make: Callable[[], T], node: Node, path: str) -> T:
        """What `make` returns; its UsageError becomes a problem of the value that it is about, which is below `path`.

        Raises BrokenError after noting it.
        """
        try:
            return make()
        except UsageError as error:
            self.note(*_located(error, node, path))
            raise BrokenError from error

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Go on after a part that cannot be built; `raise_any` reports it later."""
        try:
            yield
        except BrokenError:
            assert self.found

    def raise_any(self) -> None:
        """Raise all problems at once: UsageError where every one is of the command line, else InvalidFileError."""
        if self.found:
            ordered = sorted(self.found, key=lambda problem: (problem[0].line, problem[0].column))
            message = "\n".join(f"{place}: {message}" for place, message in ordered)
            raise (InvalidFileError if any(place.in_file for place, _ in self.found) else UsageError)(message)


def read_section(  # noqa: PLR0913 - where it is, and what it may hold
    cls: type[T],
    node: Node,
    path: str,
    problems: Problems,
    *,
    without: Collection[str] = (),
    also: Collection[str] = (),
) -> T:
    """The `cls` (a dataclass) that `node` describes; `path` is its dotted key.

    `without`: fields that may not be given; `also`: keys beside them, to be named where one is unknown. Raises
    BrokenError after noting whatever is wrong.
    """
    values = read_values(cls, node, path, problems, without=without, also=also)
    return problems.made(lambda: cls(**values), node, path)


def read_values(  # noqa: PLR0913
    cls: type[Any],
    node: Node,
    path: str,
    problems: Problems,
    *,
    without: Collection[str] = (),
    also: Collection[str] = (),
) -> dict[str, Any]:
    """The fields of `cls` that `node` gives, each of its type; arguments and errors as for `read_section`."""
    known = {entry.name: entry for entry in fields(cls) if entry.name not in without}
    members = keys_of(node, path, problems, known)
    hints = get_type_hints(cls)
    before = len(problems.found)
    values: dict[str, Any] = {}
    for name, member in members.items():
        with problems.collected():
            if name not in known:
                refuse_key(name, member, path, (*known, *also), problems)
            values[name] = read_value(hints[name], member, joined(path, name), problems)
    for name, entry in known.items():
        if name not in members and _required(entry):
            problems.note(node.key_place, f"{joined(path, name)} is missing; it has to be given")
    if len(problems.found) > before:
        raise BrokenError
    return values


def read_value(hint: Any, node: Node, path: str, problems: Problems) -> Any:  # noqa: ANN401 - a type and its value
    """The value of type `hint` in `node`: a section where it is a dataclass, else plain data."""
    if get_origin(hint) in (Union, UnionType):
        concrete = [option for option in get_args(hint) if option is not NoneType]
        if len(concrete) == 1 and is_dataclass(concrete[0]):
            return None if node.content is None else read_value(concrete[0], node, path, problems)
    if is_dataclass(hint) and isinstance(hint, type):
        return read_section(hint, node, path, problems)
    try:
        return _adapter(hint).validate_json(json.dumps(node.plain()), strict=True)
    except ValidationError as error:
        needed = list(dict.fromkeys(_needed(detail) for detail in error.errors(include_url=False)))
        problems.note(node.place, f"{path} is {node.shown()}; it must be {' or '.join(needed)}{_hint(hint, node)}")
        raise BrokenError from error


def keys_of(node: Node, path: str, problems: Problems, known: Collection[str] = ()) -> dict[str, Node]:
    """The members of a section by key; an empty section has none. Notes what is not a mapping, with `known`."""
    if node.content is None:
        return {}
    if node.members is None:
        shown = f": {', '.join(known)}" if known else ""
        problems.note(node.place, f"{path or 'the recipe'} is {node.shown()}; keys with values are needed{shown}")
        raise BrokenError
    return dict(node.members)


def refuse_key(name: str, member: Node, path: str, known: Collection[str], problems: Problems) -> None:
    """Note that a key is unknown, with the nearest one; raises BrokenError."""
    near = nearest(name, known)
    advice = f"did you mean '{near}'?" if near else f"known: {', '.join(known)}"
    problems.note(member.key_place, f"unknown key '{joined(path, name)}' = {member.shown()}; {advice}")
    raise BrokenError


def joined(path: str, name: str) -> str:
    """`name` below `path`."""
    return f"{path}.{name}" if path else name


def _required(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type hint
    return TypeAdapter(hint)


def _needed(detail: Any) -> str:  # noqa: ANN401 - pydantic's own dictionary
    """What pydantic asks for, in the words of our other messages."""
    message = str(detail["msg"])
    wanted = message.removeprefix("Input should be ")
    return _WORDS.get(wanted.partition(",")[0], wanted) if wanted != message else f"({message})"


def _hint(hint: Any, node: Node) -> str:  # noqa: ANN401
    """The nearest allowed word, where words are allowed and one was given."""
    words = [word for option in (hint, *get_args(hint)) for word in get_args(option) if isinstance(word, str)]
    near = nearest(node.content, words) if isinstance(node.content, str) else None
    return f"; did you mean '{near}'?" if near else ""


def _located(error: UsageError, node: Node, path: str) -> tuple[Place, str]:
    """Where the value stands that an error is about, and its message with that value's whole path.

    Of several that it is about, one from the command line is meant before one from the file.
    """
    if error.field is None:
        return (node.place if node.members is None else node.key_place), error.spelled(path or None)
    section = path.rpartition(".")[2] + "."  # which may name itself: `optimizer.lr` inside of train.optimizer
    names = [name.removeprefix(section) for name in (error.field, *error.beside)]
    places = {name: _place(node, name) for name in names}
    name = next((name for name, place in places.items() if not place.in_file), names[0])
    return places[name], error.spelled(joined(path, name))


def _place(node: Node, field: str) -> Place:
    """Where the part of `node` with the dotted name `field` stands, or the innermost that holds it."""
    place = node.place if node.members is None else node.key_place
    for part in field.split("."):
        member = (node.members or {}).get(part)
        if member is None:
            break
        node, place = member, member.place
    return place
