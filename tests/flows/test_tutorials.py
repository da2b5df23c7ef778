"""The tutorials, each from top to bottom in an empty folder, twice: files are written, Python and commands are run."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from n2nsurgery import plugins, registries
from n2nsurgery.core.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md"))
BLOCK = re.compile(r"```(python|yaml|bash)\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def apart(here, monkeypatch):
    """An empty folder, from which modules are imported; what was imported and registered is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    before = set(sys.modules)
    yield
    plugins._IMPORTED.clear()
    for name, module in list(sys.modules.items()):
        if name not in before and Path(getattr(module, "__file__", None) or "/").is_relative_to(here):
            del sys.modules[name]
    for registry in vars(registries).values():
        if isinstance(registry, Registry):
            registry._registered.clear()


def run_page(text, program, *, again=False):
    """Run the blocks of a page in their order; how many commands there were.

    `again`: what they wrote is there already. A command that would replace it says so and leaves it.
    """
    names: dict = {}
    commands = 0
    for language, block in BLOCK.findall(text):
        if named := re.match(r"# (\S+\.(?:py|yaml))\n", block):
            Path(named[1]).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, "a page", "exec"), names)  # noqa: S102 - our own documents
        elif language == "bash":
            for line in block.splitlines():
                finished = program(*shlex.split(line, comments=True)[1:])
                refused = again and finished.code == 2 and "is a run already" in finished.stderr
                assert finished.code == 0 or refused, f"{line}: {finished.stderr}"
                commands += 1
    return commands


COMMANDS = {"own-model": 3, "own-checkpoint": 1, "own-data": 2, "own-criterion": 1, "several-gpus": 0, "other-loops": 0}


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_works_to_its_end(name, program):
    text = (DOCS / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    assert run_page(text, program) == COMMANDS[name]
    shutil.rmtree("runs", ignore_errors=True)  # Python trains again where a command would refuse
    assert run_page(text, program, again=True) == COMMANDS[name]


def test_the_first_page_works(program):
    for again in (False, True):
        assert run_page((DOCS / "index.md").read_text(encoding="utf-8"), program, again=again) == 0
    assert Path("pruned", "plan.json").is_file()
