"""The documents beside README and the tutorials: their commands are understood, and docs/deploy.md works, twice."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn

import n2nsurgery
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery_cli.commands.train import spelled_out
from n2nsurgery_cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
COMMAND = re.compile(r"(?:^|(?<=`)|(?<= -m ))(?:uv run )?n2nsurgery +([a-z][^`\n]*)", re.MULTILINE)


def commands_of(text):
    """What stands behind `n2nsurgery`: in blocks of commands at the beginning of a line, elsewhere in backquotes."""
    joined = text.replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"```(?:bash|console)\n(.*?)```", joined, re.DOTALL))
    inline = "\n".join(re.findall(r"(?<!`)`(n2nsurgery [^`\n]*)`(?!`)", joined))
    return [found.strip() for found in COMMAND.findall(f"{blocks}\n{inline}") if "..." not in found]


ASKED = [(path.name, line) for path in PAGES for line in commands_of(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("line", [line for _, line in ASKED], ids=[f"{page}: {line}" for page, line in ASKED])
def test_a_command_in_a_document_is_understood(line):
    name, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]
    if not arguments:
        return  # the name of a command in a sentence
    if "--plugin" in arguments or "scaled-magnitude" in arguments or "--help" in arguments:
        return  # the names that a plugin adds: the plugin's own tests run these
    if hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, spelled_out(arguments))  # raises where an option or a value is not known


def test_commands_are_found_in_blocks_and_in_sentences():
    text = "```bash\nn2nsurgery apply a \\\n  --density 0.1\n```\nThen `n2nsurgery export` and `apply`.\n"
    assert [" ".join(line.split()) for line in commands_of(text)] == ["apply a --density 0.1", "export"]
    assert len(ASKED) > 50


STAND_INS = {
    "compress weights.safetensors --model resnet50 --num-classes 10": "compress weights.safetensors --model mlp"
    " --num-classes 10",
    "apply resnet50 --density 0.05 --granularity block1x4 --output pruned": "apply mlp --density 0.05"
    " --granularity block1x4 --output pruned",
}
ELSEWHERE = ("pip ", "cmake ", "build/", "--calibrate ")
"""What builds and installs, and integers, which an untrained network is no example of: other tests do it."""


@pytest.fixture
def things(here, foreign_network):  # noqa: ARG001 - which lies in the folder
    """What a reader of docs/deploy.md has: a network of another tool, weights with zeros, a module with zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mlp = resolve_model("mlp", num_classes=10, seed=0).module
        sparse = n2nsurgery.apply(mlp, example_inputs=torch.zeros(2, 3, 32, 32), density=0.05, skip="none")
        save_file(sparse.module.state_dict(), "weights.safetensors")
        module = nn.Linear(128, 128)
    module.weight.data[torch.arange(128) % 16 > 0] = 0
    return {"module": module, "x": torch.zeros(2, 128)}


def test_the_page_on_deployment_works_twice(program, things):
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for again in (False, True):
        for language, block in re.findall(r"```(python|bash)\n(.*?)```", text, re.DOTALL):
            if language == "python":
                if "n2nsurgery_runtime" not in block and "int8" not in block:
                    exec(compile(block, "docs/deploy.md", "exec"), dict(things))  # noqa: S102 - our own documents
                continue
            for line in block.splitlines():
                if any(part in line for part in ELSEWHERE):
                    continue
                asked = line.partition("#")[0].removeprefix("n2nsurgery ").strip()
                done = program(*shlex.split(STAND_INS.get(asked, asked)))
                there = again and done.code == 2 and "already exists" in done.stderr
                assert done.code == 0 or there, f"{line}: {done.stderr}"
    assert all(Path(name).is_file() for name in ("small.onnx", "weights-sparse.onnx"))
    assert Path("model-sparse.onnx").stat().st_size < Path("model.onnx").stat().st_size
