"""The examples of docs/training.md run from top to bottom, each with the names of those before it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from n2nsurgery.pipelines.training.train import run
from n2nsurgery.pipelines.training.train_request import TrainRequest

ROOT = Path(__file__).parents[4]


def examples(name: str, language: str = "python") -> list[str]:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def names(tmp_path, monkeypatch) -> dict[str, Any]:
    """The names that the examples have made by their end; their runs lie in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    made: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for text in examples("training.md"):
            exec(compile(text, "docs/training.md", "exec"), made)  # noqa: S102 - our own documents
    return made


def test_the_examples_of_training_run_and_leave_what_they_say(names, tmp_path):
    assert len(names["losses"]) == 2
    runs = {path.name for path in (tmp_path / "runs").iterdir()}
    assert runs == {"first", "focal", "adamw", "head", "distilled", "rigl", "told"}
    for name, mask in names["pruned"].masks.items():
        assert not names["pruned"].module.get_parameter(name)[~mask].any()


def test_the_recipe_on_own_data_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for text in (*examples("training.md"), *examples("training.md", "yaml")):
        if named := re.match(r"# (\S+\.(?:py|yaml))\n", text):
            Path(named[1]).write_text(text)
    request = TrainRequest(recipe=Path("points.yaml"), allow_import=True, device="cpu", overrides=("train.epochs=1",))
    outcome = run(request)
    sys.modules.pop("own_data")
    assert outcome is not None
    (told,) = outcome.data
    assert told.startswith(
        "own_data:points: 512 training, 512 validation, 512 test samples, made by a function of yours"
    )
