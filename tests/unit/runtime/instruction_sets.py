"""The instruction sets that the native library has kernels for and that this machine runs."""

from __future__ import annotations

import platform
from pathlib import Path

_FLAGS = {"avx512": "avx512dq", "avx2": "avx2"}


def instruction_sets() -> list[str]:
    """Those of this machine, widest first."""
    if platform.machine() in {"aarch64", "arm64"}:
        return ["neon", "portable"]
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text(encoding="utf-8").split() if facts.exists() else []
    return [name for name, flag in _FLAGS.items() if flag in flags] + ["portable"]
