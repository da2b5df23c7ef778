"""The wheels: what a user installs, built from the source distributions and unpacked."""

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


pytestmark = pytest.mark.slow  # each compiles the library


def installed(package: Path, folder: Path) -> Path:
    """A folder with what the wheel of `package` holds, which is built from its source distribution."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv, which builds the wheel")
    subprocess.run([uv, "build", "--out-dir", folder, package], check=True)
    (wheel,) = folder.glob("*.whl")
    assert "-py3-none-" in wheel.name
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (licence,) = site.glob("*.dist-info/licenses/LICENSE")
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()
    return site


def test_the_wheel_serves_every_python_of_the_platform_and_brings_recipes(tmp_path):
    site = installed(ROOT, tmp_path)
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
    assert "](docs/" not in metadata  # a package index shows the text without the files beside it


def test_the_wheel_of_the_runtime_has_its_library_and_needs_no_other_package_to_load_it(tmp_path):
    site = installed(ROOT / "packages" / "n2nsurgery-runtime", tmp_path)
    program = "import n2nsurgery_runtime as r; print(r.library_path().parent, r.instruction_set())"
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(site)!r}); {program}"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert said[0] == str(site / "n2nsurgery_runtime")
    assert said[1] in {"avx512", "avx2", "neon", "portable"}
