"""The program, run inside the test: its exit code and what it wrote."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import n2nsurgery
from n2nsurgery_cli.main import main


@dataclass(frozen=True, kw_only=True)
class Finished:
    code: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def no_given_width(monkeypatch):
    """Output as in a pipe, whatever width the terminal of the tests has told."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def program(monkeypatch, capsys) -> Callable[..., Finished]:
    """Call with the arguments of `n2nsurgery`."""
    monkeypatch.setattr(logging.getLogger("n2nsurgery"), "level", logging.NOTSET)

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["n2nsurgery", *arguments])
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        written = capsys.readouterr()
        return Finished(code=exit_of_main.value.code, stdout=written.out, stderr=written.err)

    return run


PACKAGE = Path(n2nsurgery.__file__).parent
SOURCES = {path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")}
ROOMS = {
    "apply": "prune",
    "inspect": "prune",
    "train": "training",
    "evaluate": "training",
    "export": "deploy",
    "verify": "deploy",
    "bench": "deploy",
    "report": "connectivity",
    "diff": "connectivity",
}
"""The package of `n2nsurgery.pipelines` in which each command's `run` lies."""


@pytest.fixture
def pipeline(monkeypatch) -> Callable[[str, Callable[..., Any]], None]:
    """Put a function in place of a pipeline's `run`, so that the command line is tested alone."""

    def replace(name: str, run: Callable[..., Any]) -> None:
        module = ModuleType(f"n2nsurgery.pipelines.{ROOMS[name]}.{name}")
        assert Path(*module.__name__.split(".")).with_suffix(".py") in SOURCES
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a pipeline returns, as far as the command line looks at it."""

    document: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.document


@pytest.fixture
def outcome() -> type[Outcome]:
    return Outcome
