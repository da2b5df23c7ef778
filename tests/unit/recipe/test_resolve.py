from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.recipe.overrides import overridden, parse_override
from n2nsurgery.recipe.recipe import ArtifactRequest, Recipe, differences
from n2nsurgery.recipe.resolve import read_recipe, resolve
from n2nsurgery.recipe.yaml_text import parse_yaml
from n2nsurgery.training.config.config import TrainConfig

RECIPE = """\
version: 2
seed: 3
model:
  name: cifar-plain17
data:
  name: cifar10
  train_limit: 6000
surgery:
  density: 0.05
  ignore: [classifier]
train:
  epochs: 6
  optimizer:
    lr: 5e-2
  schedule: {name: cosine, floor: 0}
"""


def read(text: str = RECIPE, *overrides: str) -> Recipe:
    return resolve(overridden(parse_yaml(text, "r.yaml"), [parse_override(override) for override in overrides]))


def test_a_recipe_is_composed_of_the_sections_own_types():
    recipe = read()
    assert recipe.train == TrainConfig(
        epochs=6, seed=3, schedule=replace(TrainConfig().schedule, name="cosine", floor=0)
    )
    assert (recipe.model.name, recipe.data.options.train_limit, recipe.surgery.kept) == ("cifar-plain17", 6000, 0.05)
    assert recipe.surgery.ignore == ("classifier",)
    assert recipe.export is None


def test_a_resolved_recipe_reads_as_itself_and_has_the_same_hash():
    recipe = read(RECIPE, "export.format=dense", "data.root=/data", "data.mixing={kind: cutmix}")
    again = read(recipe.to_yaml())
    assert (again, again.hash) == (recipe, recipe.hash)
    assert again.to_json() == recipe.to_json()


def test_the_hash_is_of_what_is_trained_not_of_where_and_what_is_made_of_it():
    recipe = read()
    moved = read(RECIPE, "data.root=/elsewhere", "train.device=cpu", "export.values=fp16", "report={}")
    assert (moved.hash, moved.subject, differences(recipe, moved)) == (recipe.hash, recipe.subject, ())
    assert read(RECIPE, "train.epochs=7").hash != recipe.hash
    assert differences(recipe, read(RECIPE, "train.epochs=7", "surgery=null", "train.device=cpu")) == (
        *(line for line in differences(recipe, read(RECIPE, "surgery=null"))),
        "train.epochs: 6 -> 7",
    )


@pytest.mark.parametrize(("lr", "floor"), [(0.05, 5e-4), (0.1, 5e-4), (1e-3, 1e-5)])
def test_the_floor_that_a_schedule_has_by_itself_is_the_one_that_is_named(lr, floor):
    asked = [f"train.optimizer.lr={lr}", "train.schedule.floor="]
    assert read(RECIPE, *asked).hash == read(RECIPE, *asked, f"train.schedule.floor={floor:f}").hash
    assert read(RECIPE, *asked).hash != read(RECIPE, *asked, "train.schedule.floor=0").hash


def test_without_surgery_the_dense_model_is_trained_and_an_artifact_needs_no_model():
    assert read(RECIPE, "surgery=null").surgery is None
    recipe = read(RECIPE, "surgery={artifact: exported/a}", "model=null")
    assert (recipe.surgery, recipe.model) == (ArtifactRequest(artifact=Path("exported/a")), None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 5e-2", "lr: fast", 'r.yaml:14:9: train.optimizer.lr is "fast"; it must be a number'),
        ("lr: 5e-2", "lr: -1", "r.yaml:14:9: train.optimizer.lr is -1.0; it must be above 0"),
        ("lr: 5e-2", "lr: true", "r.yaml:14:9: train.optimizer.lr is true; it must be a number"),
        ("lr: 5e-2", "learning: 1", "r.yaml:14:5: unknown key 'train.optimizer.learning' = 1; known: name, lr"),
        ("epochs: 6", "epoch: 6", "r.yaml:12:3: unknown key 'train.epoch' = 6; did you mean 'epochs'?"),
        ("epochs: 6", "epochs: 0", "r.yaml:12:11: train.epochs is 0; it must be a whole number from 1"),
        ("epochs: 6", "epochs: 6.5", "r.yaml:12:11: train.epochs is 6.5; it must be a whole number"),
        ("epochs: 6", "seed: 6", "r.yaml:12:3: unknown key 'train.seed' = 6"),
        ("name: cosine", "name: cosin", "r.yaml:15:20: train.schedule.name is 'cosin'; it must be one of constant"),
        ("name: cosine", "name: cosin", "did you mean 'cosine'?"),
        ("  schedule: {name: cosine, floor: 0}", "  schedule: 3", "r.yaml:15:13: train.schedule is 3; keys with"),
        ("name: cifar10", "name: cifar11", "r.yaml:6:9: data.name: unknown data set 'cifar11'; did you mean"),
        ("train_limit: 6000", "train_limit: 0", "r.yaml:7:16: data.train_limit is 0; it must be at least 1"),
        ("train_limit: 6000", "trainlimit: 5", "unknown key 'data.trainlimit' = 5; did you mean 'train_limit'?"),
        ("train_limit: 6000", "rot: x", "r.yaml:7:3: unknown key 'data.rot' = \"x\"; did you mean 'root'?"),
        ("train_limit: 6000", "workers: -1", "r.yaml:7:12: data.workers is -1; it must be a whole number from 0"),
        ("train_limit: 6000", "mixing: mixup", 'data.mixing is "mixup"; keys with values are needed: kind, alpha'),
        ("train_limit: 6000", "mixing: {kind: mix}", "data.mixing.kind is \"mix\"; it must be 'mixup' or 'cutmix'"),
        ("train_limit: 6000", "mixing: {kind: mixup, alpha: 0}", "r.yaml:7:32: data.mixing.alpha is 0.0; it must be"),
        ("density: 0.05", "density: 5", r"r.yaml:9:12: surgery.density is 5.0; it must be in (0, 1] or left out"),
        ("density: 0.05", "density: 0.05\n  sparsity: 0.9", "density and sparsity are given"),
        ("density: 0.05", "pairs: al\n  density: 0.1", 'r.yaml:9:10: surgery.pairs is "al"; it must be'),
        ("density: 0.05", "artifact: x", "r.yaml:9:13: surgery.artifact is a pruning that was done before"),
        ("ignore: [classifier]", "ignore: classifier", 'surgery.ignore is "classifier"; it must be a list'),
        ("ignore: [classifier]", "ignore: [1]", "surgery.ignore is [1]; it must be text"),
        ("version: 2", "version: 3", "r.yaml:1:10: version is 3; this n2nsurgery reads version 2"),
        ("version: 2\n", "", "the version of the recipe's format is missing"),
        ("seed: 3", "seed: -3", "r.yaml:2:7: seed is -3; it must be at least 0"),
        ("seed: 3", "sed: 3", "r.yaml:2:1: unknown key 'sed' = 3; did you mean 'seed'?"),
        ("model:\n  name: cifar-plain17\n", "", "the section 'model' is missing"),
        ("model:\n  name: cifar-plain17", "model: {weights: x}", "r.yaml:3:1: model.name is missing"),
        ("  name: cifar10\n", "", "data.name is missing; known: cifar10"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_what_is_allowed(old, new, message):
    assert old in RECIPE
    with pytest.raises(InvalidFileError) as raised:
        read(RECIPE.replace(old, new))
    assert message in str(raised.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidFileError) as raised:
        read(
            RECIPE.replace("plain17", "plain71\n  input_size: x").replace("epochs: 6", "epoch: 6")
            .replace("lr: 5e-2", "lr: x").replace("train_limit", "limit")
        )  # fmt: skip
    told = str(raised.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        "r.yaml:4:9", "r.yaml:5:15", "r.yaml:8:3", "r.yaml:13:3", "r.yaml:15:9",
    ]  # fmt: skip
    assert "model.name: unknown model 'cifar-plain71'; did you mean 'cifar-plain17'" in told[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=many", '--set train.epochs=many: train.epochs is "many"; it must be a whole number'),
        ("train.epoch=1", "--set train.epoch=1: unknown key 'train.epoch' = 1; did you mean 'epochs'?"),
        ("train.optimizer.lr=0", "--set train.optimizer.lr=0: train.optimizer.lr is 0.0; it must be above 0"),
        ("surgery.sparsity=0.5", "--set surgery.sparsity=0.5: surgery.sparsity: exactly one of density, sparsity and"),
        ("seed.x=1", "--set seed.x=1: 'x' is looked for inside 3 (r.yaml:2:7), which has no keys"),
        ("train.epochs", "give KEY=VALUE"),
        ("=1", "give KEY=VALUE"),
        ("train..epochs=1", "give KEY=VALUE"),
        ("train.epochs={", "the value cannot be read"),
    ],
)
def test_an_override_that_is_wrong_is_wrong_usage_and_named(override, message):
    with pytest.raises(UsageError) as raised:
        read(RECIPE, override)
    assert message in str(raised.value)


def test_overrides_replace_begin_and_clear_in_their_order():
    recipe = read(
        RECIPE, "train.epochs=9", "train.epochs=8", "export.values=fp16", "surgery.density=", "surgery.sparsity=.9"
    )
    assert (recipe.train.epochs, recipe.export.values, recipe.surgery.kept) == (8, "fp16", 0.1)


def test_what_single_layers_keep_is_a_mapping():
    recipe = read(
        RECIPE, "surgery={criterion: fixed-fan, fan_out: {features.0: 4}, junction_density: {classifier: 0.5}}"
    )
    assert recipe.surgery.fan_out == {"features.0": 4}
    assert recipe.surgery.junction_density == {"classifier": 0.5}
    assert read(recipe.to_yaml()) == recipe


def test_a_name_may_stand_alone_where_it_has_no_options(tmp_path):
    short = tmp_path / "short.yaml"
    short.write_text(
        "version: 2\nmodel: mlp\ndata: cifar10\nsurgery: {density: 0.1}\n"
        "train: {optimizer: adamw, schedule: step, dynamics: set}\n",
        encoding="utf-8",
    )
    recipe = read_recipe(short)
    assert (recipe.model.name, recipe.data.name) == ("mlp", "cifar10")
    assert (recipe.train.optimizer.name, recipe.train.schedule.name, recipe.train.dynamics.name) == (
        "adamw", "step", "set",
    )  # fmt: skip
    every = [parse_override(text) for text in ("train.dynamics.every=3", "train.dynamics=itop", "model.num_classes=10")]
    changed = read_recipe(short, [*every, parse_override("train.dynamics.fraction=0.2")])
    assert (changed.train.dynamics.name, changed.train.dynamics.every, changed.train.dynamics.fraction) == (
        "itop", None, 0.2,
    )  # fmt: skip
    assert changed.model.num_classes == 10
    with pytest.raises(InvalidFileError, match=r"r.yaml:3:8: model.name: unknown model 'mlpp'; did you mean 'mlp'"):
        read(RECIPE.replace("model:\n  name: cifar-plain17", "model: mlpp"))


def test_an_artifact_brings_its_weights():
    with pytest.raises(UsageError, match=r"model.weights is given, but surgery.artifact brings its own"):
        read(RECIPE, "surgery={artifact: a}", "model.weights=DEFAULT")


def test_rules_that_move_single_weights_are_refused_beside_blocks():
    with pytest.raises(UsageError, match=r"train.dynamics moves single weights, .*granularity keeps 'block4'"):
        read(RECIPE, "train.dynamics=set", "surgery.granularity=block4")
    assert read(RECIPE, "train.dynamics=set", "surgery.granularity=weight").train.dynamics is not None


def test_a_recipe_is_read_from_a_file(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE, encoding="utf-8")
    assert read_recipe(tmp_path / "r.yaml") == read()


def test_a_section_of_a_model_begins_with_its_name():
    shown = resolve(parse_yaml("version: 2\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\n", "r.yaml")).to_json()
    assert next(iter(shown["model"].items())) == ("name", "mlp")
