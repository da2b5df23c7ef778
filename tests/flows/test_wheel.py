"""The wheel: what a user installs, built and unpacked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_serves_every_python_of_the_platform_and_brings_recipes(tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv, which builds the wheel")
    subprocess.run([uv, "build", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "n2nsurgery" / "py.typed").is_file()
    listed = subprocess.run(
        [sys.executable, "-m", "n2nsurgery", "recipe", "list", "--json"], cwd=tmp_path, check=True,
        env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    files = {Path(row["file"]) for row in json.loads(listed.stdout)["recipes"]}
    assert {file.name for file in files} == {file.name for file in (ROOT / "recipes").iterdir()}
    assert all(site in file.parents for file in files)
    metadata = next(site.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert "Author: n2nsurgery developers" in metadata
