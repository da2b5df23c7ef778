"""The examples of docs/training.md run from top to bottom, each with the names of those before it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[4]


def examples(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.DOTALL)


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
    assert runs == {"first", "focal", "adamw", "head", "distilled", "told"}
    for name, mask in names["pruned"].masks.items():
        assert not names["pruned"].module.get_parameter(name)[~mask].any()
