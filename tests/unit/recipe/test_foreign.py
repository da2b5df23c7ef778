from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from n2nsurgery import plugins, register
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.recipe.foreign import has_own_parts
from n2nsurgery.recipe.overrides import parse_override
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.registries import LOSSES, TRAINING_METRICS

TEXT = """version: 2
plugins: [recipe_plugin]
model: {name: mlp}
data: {name: fake}
train: {}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A recipe with a plugin, and the plugin; what was imported is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugins, "_IMPORTED", {})
    (tmp_path / "recipe_plugin.py").write_text("VALUE = 1")
    (tmp_path / "recipe.yaml").write_text(TEXT)
    yield tmp_path / "recipe.yaml"
    sys.modules.pop("recipe_plugin", None)


@pytest.fixture
def members():
    """A loss and a metric from outside of the package."""

    @register.loss("own-loss")
    @register.training_metric("own-metric")
    @dataclass(frozen=True)
    class Own:
        higher_is_better: ClassVar[bool] = True

    yield
    LOSSES._registered.clear()
    TRAINING_METRICS._registered.clear()


def test_plugins_are_refused_with_their_place_and_not_imported(file):
    with pytest.raises(InvalidFileError, match=r"recipe.yaml:2:10: plugins: importing recipe_plugin runs code; allow"):
        read_recipe(file)
    assert "recipe_plugin" not in sys.modules


def test_plugins_are_imported_where_that_is_allowed_and_stay_in_the_recipe(file):
    recipe = read_recipe(file, allow_import=True)
    assert sys.modules["recipe_plugin"].VALUE == 1
    assert recipe.plugins == ("recipe_plugin",)
    assert recipe.to_json()["plugins"] == ["recipe_plugin"]


def test_what_was_imported_at_the_command_line_needs_no_leave(file):
    plugins.import_plugins(["recipe_plugin"])
    assert read_recipe(file).plugins == ("recipe_plugin",)


def test_plugins_change_nothing_of_what_is_trained(file):
    named = read_recipe(file, allow_import=True)
    file.write_text(TEXT.replace("plugins: [recipe_plugin]\n", ""))
    assert read_recipe(file).hash == named.hash


def test_a_plugin_that_is_missing_is_told_with_its_place(file):
    file.write_text(TEXT.replace("recipe_plugin", "recipe_plugins"))
    with pytest.raises(InvalidFileError, match=r"recipe.yaml:2:10: .*the plugin 'recipe_plugins' is not found"):
        read_recipe(file, allow_import=True)


def test_plugins_that_are_no_list_of_names_are_told(file):
    file.write_text(TEXT.replace("[recipe_plugin]", "3"))
    with pytest.raises(InvalidFileError, match=r"recipe.yaml:2:10: plugins is 3; it must be"):
        read_recipe(file, allow_import=True)


def test_plugins_of_the_command_line_are_its_own_mistake(file):
    with pytest.raises(UsageError, match="importing recipe_plugin runs code"):
        read_recipe(file, [parse_override("plugins=[recipe_plugin]")])


@pytest.mark.parametrize(
    ("change", "own"),
    [
        ("train.epochs=2", False),
        ("surgery={density: 0.1, criterion: snip}", False),
        ("train.distillation={teacher: mlp}", False),
        ("plugins=[recipe_plugin]", True),
        ("model.weights=w.pth", True),
        ("model.name='hf:folder'", True),
        ("train.distillation={teacher: run}", True),
        ("data={name: imagefolder, path: pictures}", True),
        ("data={name: imagefolder}", True),
        ("train.loss=own-loss", True),
        ("train.metrics=[loss, own-metric]", True),
    ],
)
@pytest.mark.usefixtures("file", "members")
def test_code_and_files_of_ones_own_are_found(tmp_path, change, own):
    (tmp_path / "w.pth").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "plain.yaml").write_text(TEXT.replace("plugins: [recipe_plugin]\n", ""))
    assert has_own_parts(read_recipe(tmp_path / "plain.yaml", [parse_override(change)], allow_import=True)) is own
