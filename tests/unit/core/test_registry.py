from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from n2nsurgery.core.errors import RunError, UnknownNameError, UsageError
from n2nsurgery.core.registry import Registry

GROUP = "n2nsurgery.test_fruits"


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    (tmp_path / "orchard").mkdir()
    (tmp_path / "orchard" / "__init__.py").touch()
    for name in ("apple", "blood_orange", "_basket"):
        (tmp_path / "orchard" / f"{name}.py").write_text(f"MEMBER = '{name}'")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry[object](kind="fruit", package="orchard", group=GROUP, aliases={"bo": "blood-orange"})
    for name in [name for name in sys.modules if name.partition(".")[0] in {"orchard", "market", "stall"}]:
        del sys.modules[name]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a package with entry points on the path, as an installer would."""

    def install(package, points, source, version="1.0"):
        root = tmp_path / f"site-{package}"
        (root / f"{package}-{version}.dist-info").mkdir(parents=True)
        (root / f"{package}-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (root / f"{package}-{version}.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        (root / f"{package}.py").write_text(source)
        monkeypatch.syspath_prepend(root)

    return install


@dataclass(frozen=True)
class BlackCherry:
    stones: int = 1


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


def test_a_registered_member_is_one_like_the_others(fruits):
    assert fruits.register("Black_Cherry")(BlackCherry) is BlackCherry
    assert fruits.names() == ("apple", "black-cherry", "blood-orange")
    assert fruits.get("black-cherry") is BlackCherry


def test_another_registry_does_not_know_it(fruits):
    fruits.register("cherry")(BlackCherry)
    assert "cherry" not in Registry[object](kind="fruit", package="orchard").names()


def test_registering_the_same_definition_again_replaces_it(fruits):
    first = dataclass(frozen=True)(type("Plum", (), {"__module__": "__main__", "__qualname__": "Plum"}))
    second = dataclass(frozen=True)(type("Plum", (), {"__module__": "__main__", "__qualname__": "Plum"}))
    fruits.register("plum")(first)
    fruits.register("plum")(second)
    assert fruits.get("plum") is second


def test_a_name_that_is_taken_is_refused_with_both_origins(fruits):
    with pytest.raises(
        UsageError,
        match=r"two members are called fruit 'apple': .*:BlackCherry \(registered in this process\) and "
        r"orchard\.apple \(built in\); rename one of them",
    ):
        fruits.register("apple")(BlackCherry)
    assert fruits.get("apple") == "apple"


def test_a_name_that_is_an_alias_is_refused(fruits):
    with pytest.raises(UsageError, match="'bo' is another name of the fruit 'blood-orange'; choose another"):
        fruits.register("bo")(BlackCherry)


@pytest.mark.parametrize("name", ["", "two words", "../apple", "a--b", "café"])
def test_a_name_is_letters_and_digits(fruits, name):
    with pytest.raises(UsageError, match="cannot name a fruit; a name is letters and digits"):
        fruits.register(name)(BlackCherry)


def test_what_is_no_class_is_refused(fruits):
    with pytest.raises(UsageError, match="the fruit 'plum' is a function; register a class: a frozen dataclass whose"):

        @fruits.register("plum")
        def plum():
            """A loss as a function, say."""

    assert "plum" not in fruits.names()


def test_an_installed_member_is_listed_without_importing_it(fruits, installed):
    installed("market", {"fig": "market:Fig"}, "class Fig: pass")
    assert fruits.names() == ("apple", "blood-orange", "fig")
    assert "market" not in sys.modules
    assert fruits.origin("fig") == "market:Fig (installed by market 1.0)"
    assert "market" not in sys.modules
    assert fruits.get("fig").__name__ == "Fig"


def test_an_installed_module_is_a_member_by_its_attribute_as_a_file_is(fruits, installed):
    installed("market", {"fig": "market"}, "MEMBER = 'a fig'")
    assert fruits.get("fig") == "a fig"


def test_two_installed_packages_with_one_name_are_refused_with_both(fruits, installed):
    installed("market", {"fig": "market:Fig"}, "class Fig: pass")
    installed("stall", {"fig": "stall:Fig"}, "class Fig: pass", version="2.1")
    assert fruits.names() == ("apple", "blood-orange", "fig")
    with pytest.raises(UsageError, match=r"called fruit 'fig': .*stall 2\.1\) and .*market 1\.0\); rename one"):
        fruits.get("fig")


def test_an_installed_member_that_registers_itself_too_is_one_member(fruits, installed):
    installed("market", {"fig": "market:Fig"}, "class Fig: pass")
    fig = fruits.get("fig")
    assert fruits.register("fig")(fig) is fig
    assert fruits.get("fig") is fig


def test_an_installed_member_whose_module_fails_says_where_it_comes_from(fruits, installed):
    installed("market", {"fig": "market:Fig"}, "import a_package_that_is_missing")
    with pytest.raises(
        RunError,
        match=r"the fruit 'fig' cannot be loaded from market:Fig \(installed by market 1.0\): .*that_is_missing",
    ):
        fruits.get("fig")


def test_the_name_of_an_instance_is_that_of_its_member(fruits, installed):
    installed("market", {"fig": "market:Fig"}, "class Fig: pass")
    fruits.register("cherry")(BlackCherry)
    assert fruits.name_of(BlackCherry(stones=2)) == "cherry"
    assert fruits.name_of(BlackCherry) == "cherry"
    assert fruits.name_of(fruits.get("fig")()) == "fig"


def test_what_is_of_no_member_has_no_name(fruits):
    assert fruits.name_of(BlackCherry()) is None
    assert "orchard.apple" not in sys.modules


def test_whether_a_member_is_foreign(fruits):
    fruits.register("cherry")(BlackCherry)
    assert fruits.is_foreign("cherry")
    assert not fruits.is_foreign("apple")


LISTS_EVERYTHING = """
import sys
from n2nsurgery import register, registries
from n2nsurgery.core.registry import Registry
for value in vars(registries).values():
    if isinstance(value, Registry):
        assert value.names(), value
heavy = {"torch", "numpy", "scipy", "yaml", "onnx"} & set(sys.modules)
assert not heavy, heavy
"""


def test_listing_every_registry_imports_nothing_heavy():
    subprocess.run([sys.executable, "-c", LISTS_EVERYTHING], check=True, timeout=60)
