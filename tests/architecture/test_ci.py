"""In CI no test is skipped for want of a tool that CI installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest
@pytest.mark.skipif(True, reason="needs a browser: install chromium")
def test_page(): pass
def test_kernels(): pytest.skip("the sparse runtime is not built: no library")
def test_gpu(): pytest.skip("needs a CUDA device")
"""


@pytest.mark.parametrize(("ci", "outcome"), [("", "3 skipped"), ("true", "1 failed, 1 skipped, 1 error")])
def test_a_missing_tool_skips_a_test_and_in_ci_fails_it(ci, outcome, tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_tools.py").write_text(TESTS)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env=os.environ | {"CI": ci}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.stdout.splitlines()[-1].startswith(outcome)
    assert finished.returncode == (1 if ci else 0)


def test_the_workflow_runs_commands_that_are_there():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = [step["run"].split()[0] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    ours = [command for command in steps if command.startswith(".ci/")]
    assert ours == [".ci/run", ".ci/versions", ".ci/fuzz", ".ci/wheels"]
    assert all(os.access(ROOT / command, os.X_OK) for command in ours)
