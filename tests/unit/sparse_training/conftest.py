"""The native library under each instruction set of this machine; tests are skipped where it is not built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from instruction_sets import instruction_sets


@pytest.fixture(autouse=True)
def _library(library: Path) -> None:
    """Every test here needs it."""


@pytest.fixture(params=instruction_sets(), scope="session")
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("N2NSURGERY_ISA", request.param)
        yield request.param


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
