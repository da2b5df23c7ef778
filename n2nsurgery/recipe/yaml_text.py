"""From YAML text to nodes: plain data only, every value with its line and column, nothing that can grow or run.

PyYAML turns the text into events; the values are built here. Plain scalars are those of the core schema of YAML 1.2
(null, true, false, integers, decimal numbers; everything else is text), so that `1e-3` is a number and `no` is a word.
Tags, anchors, aliases, merge keys, several documents and repeated keys are refused, as are size and depth beyond any
recipe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.recipe.node import Content, Node, Place

_LARGEST = 2**18  # bytes; the longest recipe of this repository has less than a hundredth of them
_DEEPEST = 16
_MOST_DIGITS = 18
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_HALF = re.compile("[\ud800-\udfff]")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF|nan|NaN|NAN)")


def read_yaml(path: Path) -> Node:
    """The document in the file `path`; InvalidFileError, with line and column, for whatever is not plain data."""
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InvalidFileError(f"'{path}' has {size:,} bytes; a recipe has at most {_LARGEST:,}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidFileError(f"the recipe '{path}' cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidFileError(f"'{path}' is not UTF-8 text: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Node:
    """The one document of `text`; `source` names it in messages. Raises InvalidFileError as `read_yaml` does."""
    if len(text) > _LARGEST:
        raise InvalidFileError(f"{source} has {len(text):,} characters; a recipe has at most {_LARGEST:,}")
    return _Builder(text, source).document()


class _Builder:
    """Consumes the events of one text."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._events = self._parsed(text)

    def document(self) -> Node:
        """The node of the document, an empty mapping where there is none."""
        next(self._events)  # the start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            place = Place(source=self._source, line=1, column=1)
            return Node(content={}, place=place, key_place=place)
        node = self._node(next(self._events), None, 0)
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document starts here; a recipe is one document")
        return node

    def _parsed(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            place = self._place(error.problem_mark or error.context_mark)
            context = f" ({error.context})" if error.context else ""
            raise InvalidFileError(f"{place}: this is not YAML: {error.problem}{context}") from error
        except yaml.YAMLError as error:
            raise InvalidFileError(f"{self._source} is not YAML: {error}") from error

    def _node(self, event: Any, key_place: Place | None, depth: int) -> Node:  # noqa: ANN401 - PyYAML has no types
        place = self._place(event.start_mark)
        if depth > _DEEPEST:
            self._refuse(event, f"nested more than {_DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse(event, "anchors (&) and aliases (*) are not read; write the value out")
        if event.tag is not None:
            self._refuse(event, f"the tag '{event.tag}' is not read; a recipe holds plain values")
        content: Content
        if isinstance(event, yaml.MappingStartEvent):
            content = self._mapping(depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            content = tuple(self._sequence(depth))
        else:
            content = self._scalar(event)
        return Node(content=content, place=place, key_place=key_place or place)

    def _mapping(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, None, depth + 1)
            if not isinstance(key.content, str):
                self._refuse(event, "a key has to be a name")
            elif key.content in members:
                first = members[key.content].key_place.line
                self._refuse(event, f"the key '{key.content}' was given before, in line {first}")
            else:
                members[key.content] = self._node(next(self._events), key.place, depth + 1)
        return members

    def _sequence(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, None, depth + 1)

    def _scalar(self, event: Any) -> bool | int | float | str | None:  # noqa: ANN401
        text: str = event.value
        if _HALF.search(text):
            self._refuse(event, "the text holds half of a character (a lone surrogate)")
        if not event.implicit[0]:  # quoted
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _SPECIAL.fullmatch(text):
            self._refuse(event, f"{text} is not a finite number")
        if _INTEGER.fullmatch(text):
            if len(text.lstrip("+-")) > _MOST_DIGITS:
                self._refuse(event, f"a whole number of {len(text)} digits; at most {_MOST_DIGITS} are read")
            return int(text)
        if _DECIMAL.fullmatch(text):
            if not math.isfinite(number := float(text)):
                self._refuse(event, f"{text} is too large a number")
            return number
        return text

    def _place(self, mark: Any) -> Place:  # noqa: ANN401
        return Place(source=self._source, line=mark.line + 1, column=mark.column + 1)

    def _refuse(self, event: Any, problem: str) -> NoReturn:  # noqa: ANN401
        raise InvalidFileError(f"{self._place(event.start_mark)}: {problem}")
