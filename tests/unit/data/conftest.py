"""Real data beside the checkout, for the tests that compare with it."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def real_data():
    """A function from a file's name to the folder that holds it; the test is skipped where it is missing."""

    def folder_of(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"needs {name} in {DATA}")
        return DATA

    return folder_of
