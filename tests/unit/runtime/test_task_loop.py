"""The loop that spreads tasks over a session's threads, against a pool that behaves as ONNX Runtime's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from n2nsurgery.runtime import build


def test_tasks_are_spread_in_order_and_threads_are_counted_as_such(tmp_path: Path) -> None:
    try:
        compiler = build.find_compiler()
    except build.BuildError as error:
        pytest.skip(str(error))
    sources = [build.SOURCES / "fuzz" / "task_loop_driver.cpp", build.SOURCES / "task_loop.cpp"]
    program = tmp_path / "driver"
    flags = ["-std=c++17", "-O1", "-fsanitize=address,undefined", f"-I{build.SOURCES}", "-pthread"]
    subprocess.run([*compiler.command, *flags, *map(str, sources), "-o", str(program)], check=True)
    finished = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (finished.stdout, finished.returncode) == ("ok\n", 0)
