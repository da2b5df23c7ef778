"""The recipe of fine-tuning from end to end: trained dense, pruned from that with skips and a teacher, exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import n2nsurgery
import n2nsurgery.pipelines.training.train

RECIPE = Path(__file__).parents[2] / "recipes" / "fine-tuning.yaml"
SMALL = ["data={name: fake, train: 192, validation: 64, test: 64, signal: 2}", "train.epochs=2", "train.batch_size=32"]


def set_to(*overrides: str) -> list[str]:
    return [part for each in overrides for part in ("--set", each)]


def offered(step: int) -> list[str]:
    """The options of a run that the recipe's head comment names, the file of weights for two epochs."""
    line = [line for line in RECIPE.read_text(encoding="utf-8").splitlines() if "  -o " in line][step]
    return line.partition(":  ")[2].replace("e00012", "e00002").split()


@pytest.mark.usefixtures("here")
def test_a_network_is_trained_dense_then_pruned_gradually_with_skips_and_a_teacher_and_exported(program):
    shutil.copy(RECIPE, "fine-tuning.yaml")
    dense = program("train", "fine-tuning.yaml", *offered(0), *set_to(*SMALL), "--json")
    assert dense.code == 0, dense.stderr
    sparse = program("train", "fine-tuning.yaml", *offered(1), *set_to(*SMALL, "train.dynamics.every=2"), "--json")
    assert sparse.code == 0, sparse.stderr

    before, begun = n2nsurgery.load("dense", last=True), n2nsurgery.load("sparse/surgery")
    assert before.masks.kept == 512_560
    for name, mask in begun.masks.items():  # it began with the trained weights
        if name in before.masks:
            assert torch.equal(begun.module.get_parameter(name)[mask], before.module.get_parameter(name)[mask])
    loaded = n2nsurgery.load("sparse")
    assert loaded.plan.skips
    assert loaded.masks.kept == loaded.plan.budget.total == 51_256
    assert json.loads(sparse.stdout)["surgery"]["nnz_total"] == 51_256
    assert program("verify", "sparse/model.onnx", "--against", "sparse").code == 0
