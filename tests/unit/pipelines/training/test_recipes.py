"""Every recipe of the repository is valid, and what it asks for can be planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from n2nsurgery.core.progress import SILENT
from n2nsurgery.data.sets.fake import Fake
from n2nsurgery.experiments.n2nskip.grid import at_full_training, plain_subject
from n2nsurgery.experiments.n2nskip.methods import dynamics_of, fading_of, surgery_of
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.pipelines.training.check_recipe import check
from n2nsurgery.pipelines.training.training_surgery import planned_surgery

RECIPES = Path(__file__).parents[4] / "recipes"
SHAPES = {
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "fake": ((3, 32, 32), 10),
    "imagenet": ((3, 224, 224), 1000),
    "mnist": ((1, 28, 28), 10),
    "morse": ((64,), 64),
}
# Kept weights by hand: 10 % of 512,560; fan-out times units on the left; 5 % and 20 % of the papers' networks.
KEPT = {
    "smoke": 51_256,
    "cifar10-small": 51_256,
    "cifar10-accurate": 512_560,
    "fine-tuning": 512_560,
    "morse": 64 * 512 + 1024 * 32,
    "mnist": 800 + 51_200 + 3136 * 16 + 784 * 10,
    "cifar10-vgg19": 1_001_200,
    "cifar100-vgg19": 1_003_504,
    "cifar10-resnet50": 1_173_386,
    "cifar100-resnet50": 1_182_602,
    "imagenet-resnet50": 5_100_582,
}


def planned(recipe):
    shape, classes = SHAPES[recipe.data.name]
    splits = Fake(shape=shape, classes=classes, train=4, test=4).load(None, download=False, seed=0)
    return planned_surgery(recipe, splits, progress=SILENT).plan


def test_the_table_names_every_recipe():
    assert sorted(path.stem for path in RECIPES.glob("*.yaml")) == sorted(KEPT)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_recipe_is_valid_and_can_be_planned_to_its_exact_budget(name):
    assert planned(check(RECIPES / f"{name}.yaml")).budget.total == KEPT[name]


def commands(path: Path) -> list[tuple[str, ...]]:
    """The variants that a recipe's head comment offers, as the values of their `--set`."""
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    offered = [line.partition("--set ")[2].split("--set ") for line in head if "  --set " in line]
    return [tuple(value.strip().strip("'") for value in values) for values in offered]


VARIANTS = [(path.stem, values) for path in sorted(RECIPES.glob("*.yaml")) for values in commands(path)]


@pytest.mark.parametrize(("name", "values"), VARIANTS)
def test_every_variant_that_a_recipe_offers_is_valid(name, values):
    check(RECIPES / f"{name}.yaml", values)


def test_the_recipes_of_the_paper_are_its_training_recipe():
    trains = [check(RECIPES / f"{name}.yaml").train for name in KEPT if name.endswith(("vgg19", "resnet50"))]
    assert len(trains) == 5
    for train in trains:
        optimizer, schedule = train.optimizer, train.schedule
        assert (train.epochs, train.batch_size) == (300, 128)
        assert (optimizer.lr, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.05, 0.9, True, 5e-4)
        assert (schedule.name, schedule.step_epochs, schedule.gamma, schedule.floor) == ("step", 30, 0.5, 5e-4)


METHODS = (
    "GMP, ResSkip-RP, k = 3",
    "ITOP, ResSkip-CSP, k = 3, guarded",
    "SET, ResSkip-RP, k = 3",
    "ResSkip-RP, k = 3",
    "ResSkip-RP, k = 3, fading",
    "N2NSkip-RP one-to-one",
    "N2NSkip-RP",
    "RP",
    "GraSP",
    "CSP, guarded",
    "dense",
)


def written_out(surgery):
    """With the defaults of this network in words: ERK for random weights, and skips over three layers."""
    if surgery is None:
        return None
    random = surgery.criterion == "random"
    return replace(surgery, skip_length=3, allocation=surgery.allocation or ("erk" if random else None))


def test_the_accurate_recipe_and_its_variants_are_the_methods_whose_accuracy_is_told():
    file = RECIPES / "cifar10-accurate.yaml"
    config = ExperimentConfig(folder=Path())
    told = at_full_training(plain_subject(config), config)
    for method, values in zip(METHODS, ((), *commands(file)), strict=True):
        recipe = check(file, values)
        assert written_out(recipe.surgery) == written_out(surgery_of(method, 0.05)), method
        assert recipe.train.dynamics == dynamics_of(method, 0.05), method
        assert recipe.train.skip_fade == fading_of(method), method
        assert (recipe.model.name, recipe.data) == (told.model, told.data)
        assert replace(recipe.train, dynamics=None, skip_fade=None, keep_last=told.train.keep_last) == told.train
