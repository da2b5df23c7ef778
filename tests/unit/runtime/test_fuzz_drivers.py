"""The fuzz drivers: random cases through the kernels, compiled with sanitizers, which end them at the first mistake."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from n2nsurgery.runtime.build import FUZZ_DRIVERS, BuildError, build_fuzz_drivers, find_compiler


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that they are built in."""
    folder = tmp_path_factory.mktemp("drivers")
    try:
        compiler = find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    build_fuzz_drivers(folder, compiler=compiler)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZ_DRIVERS)
def test_random_cases_give_right_sums_and_stay_within_bounds(drivers: Path, name: str) -> None:
    finished = subprocess.run([drivers / name, "1000"], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("1000 cases, ")
    assert int(finished.stdout.split()[2]) > 500  # most cases are meant to be accepted
