from __future__ import annotations

import sys

import pytest

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.core.registry import Registry


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    (tmp_path / "orchard").mkdir()
    (tmp_path / "orchard" / "__init__.py").touch()
    for name in ("apple", "blood_orange", "_basket"):
        (tmp_path / "orchard" / f"{name}.py").write_text(f"MEMBER = '{name}'")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry[str](kind="fruit", package="orchard", aliases={"bo": "blood-orange"})
    for name in [name for name in sys.modules if name.partition(".")[0] == "orchard"]:
        del sys.modules[name]


def test_members_are_found_by_their_file_without_importing_any(fruits):
    assert fruits.names() == ("apple", "blood-orange")
    assert "orchard.apple" not in sys.modules


@pytest.mark.parametrize("name", ["blood-orange", "blood_orange", "Blood-Orange", "bo", "BO"])
def test_a_member_is_got_by_its_name_or_alias(fruits, name):
    assert fruits.get(name) == "blood_orange"
    assert fruits.canonical(name) == "blood-orange"


def test_an_unknown_member_is_an_error_with_the_nearest_name(fruits):
    with pytest.raises(
        UnknownNameError, match=r"unknown fruit 'aple'; did you mean 'apple'\? Known: apple, blood-orange, bo"
    ):
        fruits.get("aple")
