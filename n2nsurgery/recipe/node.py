"""Node: a value of a recipe that knows where it was written, so that every complaint can name the place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Content = None | bool | int | float | str | tuple["Node", ...] | Mapping[str, "Node"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something was written: a line and a column (from 1) of `source`, or an option of the command line."""

    source: str
    line: int = 0
    column: int = 0

    @property
    def in_file(self) -> bool:
        """Whether it is a place in a file, and not on the command line."""
        return self.line > 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.in_file else self.source


@dataclass(frozen=True, kw_only=True)
class Node:
    """One value. `place` is where it starts, `key_place` where its key does (itself, outside of a mapping)."""

    content: Content
    place: Place
    key_place: Place

    @property
    def members(self) -> Mapping[str, Node] | None:
        """The values by key of a mapping, None for anything else."""
        return self.content if isinstance(self.content, Mapping) else None

    def plain(self) -> Any:  # noqa: ANN401 - any JSON value
        """The value as JSON knows it, without places."""
        if isinstance(self.content, Mapping):
            return {key: node.plain() for key, node in self.content.items()}
        if isinstance(self.content, tuple):
            return [node.plain() for node in self.content]
        return self.content

    def shown(self) -> str:
        """The value for a message, cut where it is long."""
        text = json.dumps(self.plain(), ensure_ascii=False)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def from_plain(value: Any, place: Place) -> Node:  # noqa: ANN401 - any JSON value
    """The node of a value that was not read from a text, all of it at `place`."""
    content = value
    if isinstance(value, Mapping):
        content = {key: from_plain(item, place) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        content = tuple(from_plain(item, place) for item in value)
    return Node(content=content, place=place, key_place=place)


_SHOWN = 60
