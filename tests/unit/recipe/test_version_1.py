from __future__ import annotations

import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.recipe.overrides import parse_override
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.recipe.resolve import read_recipe, resolve
from n2nsurgery.recipe.yaml_text import parse_yaml
from n2nsurgery.surgery.planning.config import SurgeryConfig


def read(surgery: str) -> Recipe:
    text = f"version: 1\nmodel: {{name: mlp}}\ndata: {{name: fake}}\ntrain: {{}}\nsurgery: {surgery}\n"
    return resolve(parse_yaml(text, "r.yaml"))


@pytest.mark.parametrize(
    ("surgery", "config"),
    [
        ("{density: 0.1}", {"density": 0.1}),
        (
            "{density: 0.1, keep_dense: [fc], heads: true, shortcuts: plain, tries: 4, select: scatter}",
            {
                "density": 0.1,
                "ignore": ("fc",),
                "include_classifier": True,
                "skip_placement": "all",
                "num_candidates": 4,
                "select_by": "scatter",
            },
        ),
        ("{density: 0.1, shortcuts: around}", {"density": 0.1}),
        # What a resolved recipe of version 1 says of defaults.
        (
            """{density: 0.1, sparsity: null, fan_out: [], allocation: null, granularity: weight, scope: global,
            skip_ratio: null, skip_pattern: null, skip_kernel: null, shortcuts: null, num_pairs: null, select: null,
            preset: null, keep_dense: []}""",
            {"density": 0.1},
        ),
        # A random pattern had half of the budget and its target's kernel.
        (
            "{density: 0.1, skip_pattern: random}",
            {"density": 0.1, "skip_pattern": "random", "skip_kernel": "target"},
        ),
        ("{density: 0.1, preset: paper}", {"preset": "paper", "density": 0.1}),
        # Patterns with degrees divided a density by ERK.
        (
            "{density: 0.5, criterion: Fixed_Fan, skip: none}",
            {"density": 0.5, "criterion": "Fixed_Fan", "skip": "none", "allocation": "erk"},
        ),
        (
            "{criterion: fixed-fan, allocation: uniform, fan_out: [['0', 4]], junction_density: {'1': 0.5}}",
            {"criterion": "fixed-fan", "allocation": "uniform", "fan_out": {"0": 4}, "junction_density": {"1": 0.5}},
        ),
    ],
)
def test_a_recipe_of_version_1_asks_for_the_same_surgery(surgery, config):
    assert read(surgery).surgery == SurgeryConfig.from_preset(**config)


def test_it_is_written_in_the_version_of_today():
    recipe = read("{density: 0.1, keep_dense: [fc]}")
    assert (recipe.version, recipe.to_json()["surgery"]["ignore"]) == (2, ["fc"])
    again = resolve(parse_yaml(recipe.to_yaml(), "again.yaml"))
    assert (again, again.hash) == (recipe, recipe.hash)


def test_what_is_wrong_in_it_is_named_with_its_place_and_the_name_of_today(tmp_path):
    (tmp_path / "r.yaml").write_text("version: 1\nsurgery:\n  density: 0.1\n  keep_dense: fc\n", encoding="utf-8")
    with pytest.raises(InvalidFileError, match=r'r\.yaml:4:15: surgery\.ignore is "fc"; it must be a list'):
        read_recipe(tmp_path / "r.yaml")


def test_an_override_may_have_the_names_of_version_1(tmp_path):
    text = "version: 2\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\nsurgery: {density: 0.1}\n"
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    overrides = [parse_override("surgery.shortcuts=plain"), parse_override("surgery.keep_dense=[fc]")]
    surgery = read_recipe(tmp_path / "r.yaml", overrides).surgery
    assert (surgery.skip_placement, surgery.ignore) == ("all", ("fc",))
