from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.recipe.yaml_text import parse_yaml, read_yaml

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS | NUMBERS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def parsed(text: str):
    return parse_yaml(text, "r.yaml").plain()


@given(DOCUMENTS)
def test_json_is_yaml_and_comes_back_as_it_was(document):
    assert parsed(json.dumps(document)) == document  # a JSON text is a YAML text


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), NUMBERS | st.booleans() | st.integers(-99, 99)))
def test_what_pyyaml_writes_comes_back_as_it_was(document):
    assert parsed(yaml.safe_dump(document)) == document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5.0e-4", 5e-4),
        (".5", 0.5),
        ("2.", 2.0),
        ("007", 7),
        ("true", True),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text, value):
    found = parsed(f"x: {text}")["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}"])
def test_an_empty_document_has_no_keys(text):
    assert not parsed(text)


def test_every_value_knows_its_line_and_column():
    node = parse_yaml("a:\n  b: [1, 2]\n", "r.yaml")
    inner = node.members["a"].members["b"]
    assert (str(inner.key_place), str(inner.place)) == ("r.yaml:2:3", "r.yaml:2:6")
    assert str(inner.content[1].place) == "r.yaml:2:10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system [ls]", "r.yaml:1:4: the tag 'tag:yaml.org,2002:python/object/apply"),
        ("a: !!str 1", "r.yaml:1:4: the tag"),
        ("!x {a: 1}", "r.yaml:1:1: the tag"),
        ("a: &x 1\nb: *x", r"r.yaml:1:4: anchors \(&\) and aliases"),
        ("a: *x", "r.yaml:1:4: anchors"),
        ("a: 1\nb: 2\na: 3", "r.yaml:3:1: the key 'a' was given before, in line 1"),
        ("1: 2", "r.yaml:1:1: a key has to be a name"),
        ("[a]: 2", "r.yaml:1:1: a key has to be a name"),
        ("a: 1\n---\nb: 2", "r.yaml:2:1: a second document"),
        ("a: .inf", "r.yaml:1:4: .inf is not a finite number"),
        ("a: 1e999", "r.yaml:1:4: 1e999 is too large a number"),
        ("a: " + "9" * 5000, "r.yaml:1:4: a whole number of 5000 digits"),
        ("a: {b: 1", "r.yaml:1:9: this is not YAML"),
        ("a: b: c", "r.yaml:1:5: this is not YAML: mapping values are not allowed"),
        ("a:\n\tb: 1", "r.yaml:2:1: this is not YAML"),
        ('a: "\\ud800"', "r.yaml:1:4: the text holds half of a character"),
        ("a: \x00", "r.yaml is not YAML"),
        ("[" * 100_000, "nested more than 16 levels"),
        ("a: " * 100_000, "r.yaml has 300,000 characters; a recipe has at most 262,144"),
    ],
)
def test_what_is_not_plain_data_is_refused_at_its_place(text, message):
    with pytest.raises(InvalidFileError, match=message):
        parsed(text)


def test_a_file_is_bounded_before_it_is_read(tmp_path):
    (tmp_path / "large.yaml").write_bytes(b" " * 300_000)
    (tmp_path / "binary.yaml").write_bytes(b"a: \xff")
    for name, message in (("large", "300,000 bytes"), ("binary", "not UTF-8"), ("absent", "No such file")):
        with pytest.raises(InvalidFileError, match=message):
            read_yaml(tmp_path / f"{name}.yaml")
