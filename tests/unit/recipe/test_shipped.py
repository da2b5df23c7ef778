"""Recipes by name, as they come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.recipe import shipped
from n2nsurgery.recipe.shipped import about, recipe_file

ROOT = Path(__file__).parents[3]


def test_a_name_means_the_file_of_that_recipe():
    assert recipe_file("recipe:cifar10-small") == ROOT / "recipes" / "cifar10-small.yaml"
    assert recipe_file(Path("recipe:smoke")).is_file()


def test_any_other_path_stays_as_it_is():
    assert recipe_file("recipes/smoke.yaml") == Path("recipes/smoke.yaml")
    assert recipe_file(Path("./own.yaml")) == Path("own.yaml")


@pytest.mark.parametrize("name", ["smok", "../recipes/smoke", "", "smoke.yaml"])
def test_an_unknown_name_is_told_with_the_known_ones(name):
    with pytest.raises(UnknownNameError, match=r"unknown recipe .*Known: .*cifar10-small.*smoke"):
        recipe_file(f"recipe:{name}")


def test_an_installed_package_has_its_own(tmp_path, monkeypatch):
    (tmp_path / "only.yaml").write_text("version: 2\n")
    monkeypatch.setattr(shipped, "_INSTALLED", tmp_path)
    assert shipped.shipped() == {"only": tmp_path / "only.yaml"}


def test_each_says_in_one_sentence_what_it_is():
    sentences = {name: about(path) for name, path in shipped.shipped().items()}
    assert sentences["cifar100-resnet50"] == "ResNet50 on CIFAR-100: the N2NSkip paper, Table 1"
    assert all(sentences.values())


def test_a_recipe_without_a_comment_says_nothing(tmp_path):
    (tmp_path / "bare.yaml").write_text("version: 2\n# late\n")
    assert about(tmp_path / "bare.yaml") == ""
