"""The C++ programs among the benchmarks: they fit the library's sources, which nothing else compiles them with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from n2nsurgery.runtime.build import SOURCES, BuildError, find_compiler

FOLDER = Path(__file__).parents[3] / "benchmarks" / "runtime"


@pytest.mark.parametrize("name", ["layers.cpp", "schedule.cpp"])
def test_it_fits_the_sources_of_the_library(name: str) -> None:
    try:
        compiler = find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    command = [*compiler.command, "-std=c++17", "-fsyntax-only", f"-I{SOURCES}", str(FOLDER / name)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
