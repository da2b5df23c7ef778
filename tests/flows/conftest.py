"""The program in an empty working directory, run inside the test: its exit code and what it wrote."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2nsurgery_cli.main import main


@dataclass(frozen=True, kw_only=True)
class Finished:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(here, monkeypatch, capsys) -> Callable[..., Finished]:  # noqa: ARG001 - it works there
    """Call with the arguments of `n2nsurgery`."""
    monkeypatch.setattr(logging.getLogger("n2nsurgery"), "level", logging.NOTSET)

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["n2nsurgery", *arguments])
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        written = capsys.readouterr()
        return Finished(code=exit_of_main.value.code, stdout=written.out, stderr=written.err)

    return run
