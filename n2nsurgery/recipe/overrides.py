"""`--set train.optimizer.lr=0.1`: values from the command line in place of the file's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.recipe.node import Node, Place
from n2nsurgery.recipe.yaml_text import parse_yaml

_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


@dataclass(frozen=True, kw_only=True)
class Override:
    """A value for the dotted `path`; `option` is how it was written on the command line."""

    path: str
    value: Node
    option: str


def parse_override(text: str) -> Override:
    """The override that `KEY=VALUE` asks for, its value read as YAML; raises UsageError."""
    shown = f"--set {text}"
    path, equals, value = text.partition("=")
    if not equals or not _PATH.fullmatch(path):
        raise UsageError(f"{shown}: give KEY=VALUE with a dotted key, like --set train.optimizer.lr=0.1")
    try:
        node = parse_yaml(value, shown)
    except InvalidFileError as error:
        raise UsageError(f"{shown}: the value cannot be read: {error}") from error
    empty = Node(content=None, place=node.place, key_place=node.place)
    return Override(path=path, value=_placed(node if value.strip() else empty, Place(source=shown)), option=shown)


def option_override(path: str, value: str, option: str) -> Override:
    """The override that an `option` of its own stands for, its value taken as text."""
    place = Place(source=f"{option} {value}")
    return Override(path=path, value=Node(content=value, place=place, key_place=place), option=str(place))


def overridden(root: Node, overrides: Iterable[Override]) -> Node:
    """`root` with every override in place, the last one winning; a list is replaced whole."""
    for override in overrides:
        root = _with(root, override.path.split("."), override.value)
    return root


def _with(node: Node, path: list[str], value: Node) -> Node:
    if not path:
        return value
    members = node.members or {}  # a section that is null or absent is begun
    if node.members is None and node.content is not None:
        raise UsageError(
            f"{value.place}: '{path[0]}' is looked for inside {node.shown()} ({node.place}), which has no keys"
        )
    empty = Node(content=None, place=value.place, key_place=value.place)
    return replace(node, content={**members, path[0]: _with(members.get(path[0], empty), path[1:], value)})


def _placed(node: Node, place: Place) -> Node:
    """`node` and all that is in it, as written at `place`."""
    content = node.content
    if isinstance(content, Mapping):
        content = {key: _placed(member, place) for key, member in content.items()}
    elif isinstance(content, tuple):
        content = tuple(_placed(member, place) for member in content)
    return Node(content=content, place=place, key_place=place)
