"""Sparse kernels for ONNX Runtime's CPU provider, without the rest of n2nsurgery: needs onnxruntime only.

    options = onnxruntime.SessionOptions()
    n2nsurgery_runtime.register(options)
    session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])

The files come from `n2nsurgery compress` or `n2nsurgery export`; without the library they run as dense models.
"""

from __future__ import annotations

from pathlib import Path

from n2nsurgery_runtime.registration import AcceptsCustomOps, instruction_set_of, register_library

__all__ = ["instruction_set", "library_path", "register"]


def library_path() -> Path:
    """The shared library, as `RegisterCustomOpsLibrary` of C and C++ takes it, too."""
    return next(Path(__file__).resolve().parent.glob("libn2nsurgery.*"))


def register(session_options: AcceptsCustomOps) -> None:
    """Adds the sparse kernels to a session's options; a second call for the same options does nothing.

    The kernels run on the CPU provider, in the threads that the session has.
    """
    register_library(session_options, library_path())


def instruction_set() -> str:
    """What the kernels use on this processor: avx512, avx2, neon or portable."""
    return instruction_set_of(library_path())
