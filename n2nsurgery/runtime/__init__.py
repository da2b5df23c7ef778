"""Sparse kernels for ONNX Runtime's CPU provider: a custom-op library, and how to find and register it.

    options = onnxruntime.SessionOptions()
    n2nsurgery.runtime.register(options)
    session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])

Without the library the same file runs as an ordinary dense model.
"""

from __future__ import annotations

import os
from pathlib import Path

from n2nsurgery.core.errors import RunError
from n2nsurgery.runtime.registration import AcceptsCustomOps, instruction_set_of, register_library

__all__ = ["LibraryNotBuiltError", "instruction_set", "library_path", "register"]

LIBRARY_VARIABLE = "N2NSURGERY_LIBRARY"


class LibraryNotBuiltError(RunError):
    """The sparse runtime's shared library is not there, or does not load; the message says how to build it."""


def library_path() -> Path:
    """The sparse runtime's shared library: ``$N2NSURGERY_LIBRARY`` if set, else the one beside this file.

    Raises LibraryNotBuiltError if it is not there.
    """
    from n2nsurgery.runtime.build import (
        LIBRARY_NAME,
    )  # here, so that `python -m n2nsurgery.runtime.build` loads it once

    override = os.environ.get(LIBRARY_VARIABLE)
    if override:
        named = Path(override).absolute()  # a name without a folder would be sought on the loader's own path
        if not named.is_file():
            raise LibraryNotBuiltError(
                f"{LIBRARY_VARIABLE} is '{override}', and there is no such file: correct it, or unset it to take the "
                "library that `python -m n2nsurgery.runtime.build` builds"
            )
        return named
    path = Path(__file__).resolve().parent / LIBRARY_NAME
    if not path.is_file():
        raise LibraryNotBuiltError(
            f"the sparse runtime is not built: {path} does not exist. "
            "`python -m n2nsurgery.runtime.build` builds it (needs a C++17 compiler); "
            "models run without it, as fast as dense ones."
        )
    return path


def register(session_options: AcceptsCustomOps) -> None:
    """Adds the sparse kernels to a session's options, before the session is made.

    The kernels run on the CPU provider, in the threads that the session has (`intra_op_num_threads`). A session on
    another provider should not get them: it would copy every input of a sparse layer to the CPU. A second call for the
    same options does nothing. Raises LibraryNotBuiltError if the library is not there or does not load.
    """
    add_to(session_options, library_path())


def add_to(session_options: AcceptsCustomOps, library: Path) -> None:
    """Adds the kernels in `library` to a session's options; raises LibraryNotBuiltError if it does not load."""
    try:
        register_library(session_options, library.absolute())
    except Exception as error:  # ONNX Runtime's exceptions share no other base class
        raise LibraryNotBuiltError(
            f"the sparse runtime does not load: {error}. `python -m n2nsurgery.runtime.build` builds it anew."
        ) from error


def instruction_set() -> str:
    """What the kernels use on this processor: avx512, avx2, neon or portable.

    Raises LibraryNotBuiltError if the library is not there or is none for this machine.
    """
    try:
        return instruction_set_of(library_path())
    except (OSError, AttributeError) as error:
        raise LibraryNotBuiltError(
            f"the sparse runtime does not load: {error}. `python -m n2nsurgery.runtime.build` builds it anew."
        ) from error
