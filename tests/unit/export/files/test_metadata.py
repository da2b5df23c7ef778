"""The JSON document in a model's metadata."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.core.errors import InternalError, InvalidFileError
from n2nsurgery.export.files.metadata import KEY, MAX_CHARACTERS, SCHEMA_VERSION, decode, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text().filter(lambda key: key != "schema_version"), VALUES, max_size=4)


@given(DOCUMENTS)
def test_what_is_written_is_read(document: dict[str, object]) -> None:
    assert decode({KEY: encode(document)}) == {**document, "schema_version": SCHEMA_VERSION}


def test_the_order_of_keys_does_not_change_the_text() -> None:
    assert encode({"a": 1, "b": 2}) == encode({"b": 2, "a": 1})


def test_another_tool_s_file_has_no_document() -> None:
    assert decode({"author": "someone"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        json.dumps({"schema_version": SCHEMA_VERSION + 1}),
        json.dumps({"schema_version": "1"}),
        f'{{"schema_version": {SCHEMA_VERSION}, "source": {{"threshold": 1e999}}}}',
        f'{{"schema_version": {SCHEMA_VERSION}, "source": {{"threshold": NaN}}}}',
        "[" * 100_000,
        " " * (MAX_CHARACTERS + 1),
    ],
    ids=lambda text: text[:24],
)
def test_a_damaged_or_newer_document_is_an_invalid_file(text: str) -> None:
    with pytest.raises(InvalidFileError):
        decode({KEY: text})


def test_the_schema_version_is_ours_to_write() -> None:
    with pytest.raises(InternalError):
        encode({"schema_version": 7})
