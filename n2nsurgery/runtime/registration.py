"""What needs nothing but the library's file: adding it to a session's options, and asking it for its instruction set.

Both distributions hold this file, the whole package and `n2nsurgery-runtime`. It needs only the standard library.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Protocol

_REGISTERED = "n2nsurgery.library"
"""The entry of a session's options that tells which library they have."""


class AcceptsCustomOps(Protocol):
    """What `register_library` needs of onnxruntime.SessionOptions."""

    def register_custom_ops_library(self, path: str, /) -> None:
        """Loads the library at path and adds its operators."""

    def get_session_config_entry(self, key: str, /) -> str:
        """The entry that was added under `key`; RuntimeError where there is none."""

    def add_session_config_entry(self, key: str, value: str, /) -> None:
        """Adds an entry, or replaces it."""


def register_library(session_options: AcceptsCustomOps, library: Path) -> None:
    """Adds the kernels in `library` to a session's options; a second call for the same options does nothing."""
    try:
        registered = session_options.get_session_config_entry(_REGISTERED)
    except RuntimeError:  # ONNX Runtime's answer for an entry that is not there
        registered = None
    if registered is None:  # ONNX Runtime refuses the same operators twice, when it makes the session
        session_options.register_custom_ops_library(str(library))
        session_options.add_session_config_entry(_REGISTERED, str(library))


def instruction_set_of(library: Path) -> str:
    """What the kernels in `library` use on this processor: avx512, avx2, neon or portable.

    Raises OSError where it does not load here, AttributeError where it is another library.
    """
    answer = ctypes.CDLL(str(library)).n2nsurgery_instruction_set
    answer.restype = ctypes.c_char_p
    name: bytes = answer()
    return name.decode()
