"""The native library under each instruction set of this machine; tests are skipped where it is not built."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def instruction_sets() -> list[str]:
    if platform.machine() in {"aarch64", "arm64"}:
        return ["neon", "portable"]
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text(encoding="utf-8").split() if facts.exists() else []
    known = {"avx512": "avx512dq", "avx2": "avx2"}
    return [name for name, flag in known.items() if flag in flags] + ["portable"]


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
