"""Names: nearest-name suggestions, patterns that must match something, and dotted names of nested values."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from n2nsurgery.core.errors import UnknownNameError, UsageError

_LISTED = 30  # more names than that would bury the message
_SHOWN = 3
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None where nothing is close.

    >>> nearest("resnet5", ["resnet50", "vgg16"])
    'resnet50'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Sequence[str], *, field: str | None = None) -> UnknownNameError:
    """The error for a `name` that is none of `known`, with the nearest one; `field`: the option that has it."""
    near = nearest(name, known)
    listing = f" Known: {', '.join(known)}." if 0 < len(known) <= _LISTED else ""
    hint = f"; did you mean '{near}'?" if near else "." if listing else "" if known else "; there is none"
    return UnknownNameError(f"unknown {kind} '{name}'{hint}{listing}", field=field)


def listed(names: Sequence[str]) -> str:
    """The first three of `names` in quotes, and how many more there are: "'a', 'b', 'c' and 2 more"."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 skip`, `45 skips`; with a `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def leaves(value: Mapping[str, Any], joint: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested mapping with its keys joined: `train.epochs`; an empty mapping is a value."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from leaves(item, joint, f"{prefix}{key}{joint}")
        else:
            yield f"{prefix}{key}", item


def strip_wrappers(name: str) -> str:
    """`name` without the prefixes that DDP (`module.`) and torch.compile (`_orig_mod.`) add."""
    while name.startswith(_WRAPPER_PREFIXES):
        name = name.split(".", 1)[1]
    return name


def select(pattern: str, names: Sequence[str], *, kind: str) -> tuple[str, ...]:
    """The names that match `pattern`, in their order.

    `pattern` is a glob over whole dotted names (`layer1.*`), or a regular expression after `re:`.
    A glob also matches every name below it (`layer1` matches `layer1.0.conv1`).
    Raises UnknownNameError where nothing matches, UsageError for a broken expression.

        >>> select("layer1", ["conv1", "layer1.0.conv1", "layer10.conv1"], kind="layer")
        ('layer1.0.conv1',)
    """
    if pattern.startswith("re:"):
        try:
            expression = re.compile(pattern[3:])
        except re.error as error:
            raise UsageError(f"'{pattern}' is not a regular expression: {error}") from error
        found = tuple(name for name in names if expression.search(name))
    else:
        glob = strip_wrappers(pattern)
        found = tuple(n for n in names if fnmatch.fnmatchcase(n, glob) or fnmatch.fnmatchcase(n, f"{glob}.*"))
    if not found:
        raise unknown(f"{kind} pattern", pattern, names)
    return found
