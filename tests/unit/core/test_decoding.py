from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: Literal["a", "b"]
    parts: tuple[Inner, ...] = ()
    ratio: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Outer(name="b", parts=(Inner(size=1), Inner(size=2)), ratio=0.5, options={"depth": [1, None]})


def test_what_was_encoded_comes_back():
    assert decode(Outer, asdict(WHOLE), "file.json") == WHOLE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "c"}, r"file.json.name is 'c'; one of \['a', 'b'\] is needed"),
        ({"parts": [{"size": True}]}, r"file.json.parts\[0\].size is True; int is needed"),
        ({"parts": 3}, "file.json.parts is 3; a list is needed"),
        ({"ratio": float("nan")}, "file.json.ratio is nan; float is needed"),
        ({"options": [1]}, r"file.json.options is \[1\]; an object is needed"),
        ({"more": 1}, r"file.json: unknown keys \['more'\], missing keys \[\]"),
    ],
)
def test_what_was_changed_is_named_with_its_place(change, message):
    with pytest.raises(InvalidFileError, match=message):
        decode(Outer, asdict(WHOLE) | change, "file.json")


def test_a_missing_key_is_named():
    value = asdict(WHOLE)
    del value["ratio"]
    with pytest.raises(InvalidFileError, match=r"missing keys \['ratio'\]"):
        decode(Outer, value, "file.json")
