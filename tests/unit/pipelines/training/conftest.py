"""Recipes that are trained in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from n2nsurgery.pipelines.training.train import run
from n2nsurgery.pipelines.training.train_request import TrainRequest


@pytest.fixture
def train_recipe(tmp_path, monkeypatch):
    """Train the recipe `text` with `overrides` into `folder`; its outcome."""
    monkeypatch.chdir(tmp_path)

    def train_recipe(text, *overrides, folder="run", **options):
        Path("r.yaml").write_text(text, encoding="utf-8")
        outcome = run(TrainRequest(recipe=Path("r.yaml"), overrides=overrides, output=Path(folder), **options))
        assert outcome is not None
        return outcome

    return train_recipe
