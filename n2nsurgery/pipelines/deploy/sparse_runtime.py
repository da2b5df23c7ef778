"""The sparse runtime's library as the pipelines use it, where it is built."""

from __future__ import annotations

import os
from pathlib import Path

from n2nsurgery import runtime


def sparse_runtime() -> tuple[Path, ...]:
    """The library to register with ONNX Runtime, or nothing: no export needs it, its proofs are fewer without.

    Raises LibraryNotBuiltError where the environment names a library that is not there.
    """
    try:
        return (runtime.library_path(),)
    except runtime.LibraryNotBuiltError:
        if os.environ.get(runtime.LIBRARY_VARIABLE):
            raise
        return ()
