"""README works from top to bottom as it stands there: every command and all its Python, in one folder, and once more.

A reader's own things are brought along: a model, a criterion, data, a loss, a metric, a network of another tool. What
takes minutes, a download or several GPUs has a stand-in, named in STAND_INS.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import typer
from torch import nn

import n2nsurgery
from n2nsurgery.masks.scoring.context import weight_values
from n2nsurgery_cli.commands.train import spelled_out
from n2nsurgery_cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
PROGRAM = "uv run n2nsurgery "

INSTALLS = ("pip install ", "uv run pytest", "uv run mkdocs ")
"""What prepares a machine, and the tests themselves, are not run by a test."""
STAND_INS = {
    "apply resnet50 --density 0.05": "apply mlp --density 0.05 --num-classes 10",
    "inspect resnet50": "inspect mlp",
    "train recipe:smoke": "train recipe:smoke --set model.name=cifar-tiny-resnet --set train.epochs=1"
    " --set data.train=192 --set data.validation=32 --set data.test=32",
    "train recipe:cifar10-vgg19 --download --set surgery.density=0.02 --gpus 4": "recipe check"
    " recipe:cifar10-vgg19 --set surgery.density=0.02",
}


@dataclass(frozen=True, kw_only=True)
class MyScore:
    """Magnitudes to a power."""

    temperature: float = 1.0

    needs: ClassVar[str] = "weights"
    rounds: ClassVar[int] = 1
    scope: str = "global"

    def scores(self, context):
        return {name: value.abs() ** self.temperature for name, value in weight_values(context).items()}


def data(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 16, generator=generator)
    return torch.utils.data.TensorDataset(images, (images[:, 0] > 0).long())


@pytest.fixture
def things(here, monkeypatch, foreign_network):  # noqa: ARG001 - which lies in the folder
    """What a reader has: the clone's recipes, a network that another tool pruned, and the names that README uses."""
    shutil.copytree(ROOT / "recipes", here / "recipes")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        my_model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        yield {
            "my_model": my_model,
            "batch": torch.zeros(2, 16),
            "MyScore": MyScore,
            "my_dataset": data(256, 0),
            "my_validation": data(64, 1),
            "focal_loss": nn.functional.cross_entropy,
            "mean_iou": lambda outputs, targets: (outputs.argmax(1) == targets).float().mean(),
        }


def read(program, names):
    """Follow README once."""
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the text of our own README
            continue
        for line in block.splitlines():
            if line.startswith(INSTALLS):
                continue
            asked = line.partition("#")[0].removeprefix(PROGRAM).strip()
            arguments = shlex.split(STAND_INS.get(asked, asked))
            done = program(*arguments)
            assert done.code == 0, f"{line}: {done.stderr}"


@pytest.mark.slow
def test_readme_works_from_top_to_bottom_and_once_more(program, things):
    read(program, dict(things))
    assert Path("small.onnx").is_file()
    assert Path("mine.onnx").is_file()
    assert len(list(Path("exported").glob("mlp-*.onnx"))) == 1
    assert len(list(Path().glob("*.report.html"))) == 1
    assert Path("model-sparse.onnx").stat().st_size < Path("model.onnx").stat().st_size
    read(program, dict(things))


def test_the_section_on_python_runs_as_it_stands(things):
    (section,) = [block for language, block in BLOCKS if language == "python" and "n2nsurgery.train(" in block]
    names = dict(things)
    exec(section, names)  # noqa: S102 - the text of our own README
    pruned, outcome = names["pruned"], names["outcome"]
    assert isinstance(pruned, n2nsurgery.PrunedModel)
    assert pruned.masks.kept == round(0.05 * (16 * 64 + 64 * 64 + 64 * 2))
    assert len(outcome.history) == 10
    assert Path("mine.onnx").is_file()


def test_the_first_lines_of_python_run_as_they_stand_twice(here):
    first = next(block for language, block in BLOCKS if language == "python")
    assert len([line for line in first.splitlines() if line]) <= 8
    for _ in range(2):
        exec(first, {})  # noqa: S102 - the text of our own README
    assert Path(here, "small.onnx").is_file()


def test_every_stand_in_is_for_a_command_of_readme():
    asked = {line.partition("#")[0].removeprefix(PROGRAM).strip() for line in COMMANDS}
    assert set(STAND_INS) <= asked


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_of_readme_is_understood(line):
    if line.startswith(INSTALLS):
        return
    assert line.startswith(PROGRAM)
    name, *arguments = shlex.split(line.removeprefix(PROGRAM), comments=True)
    command = typer.main.get_command(app).commands[name]
    command.make_context(name, spelled_out(arguments))  # raises where an option or a value is not known
