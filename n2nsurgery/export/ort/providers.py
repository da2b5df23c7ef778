"""ONNX Runtime sessions on the device that was asked for, or an error.

ONNX Runtime falls back to the CPU without an error when a provider does not load, and prints as it does so.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from n2nsurgery.core.errors import RunError, VerificationError
from n2nsurgery.core.names import unknown
from n2nsurgery.imports import extra
from n2nsurgery.runtime import add_to

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime

_LOG = logging.getLogger(__name__)
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_FATAL, _WARNING = 4, 2


def available_providers() -> tuple[str, ...]:
    """The execution providers this build of ONNX Runtime knows, the preferred one first; some may fail to load."""
    return tuple(onnxruntime.get_available_providers())


def session(
    model: Path | bytes,
    *,
    device: str = "cpu",
    threads: int | None = None,
    libraries: Sequence[Path] = (),
    profile: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session for `model` (a path, or the bytes of a file) whose first provider is the one for `device`.

    `device`: `cpu`, `cuda`, `tensorrt`, or one of the last two with a device number (`cuda:1`). `threads`: threads
    inside one operator, all cores where None. `libraries`: custom operator libraries to register.
    `profile`: how the name of the profile begins that `end_profiling` writes; none is kept where None.

    Raises UnknownNameError for another device, RunError where its provider or a library does not load,
    VerificationError where ONNX Runtime refuses the model.
    """
    provider, settings = _provider(device)
    if provider not in available_providers():
        raise _not_loaded(device, provider, available_providers())
    options = _options(threads, libraries)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    try:
        with _fatal_errors_only():
            if provider != _PROVIDERS["cpu"]:
                _preload_cuda()
            opened = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=[(provider, settings)],
                enable_fallback=0,
            )
    except Exception as error:  # ONNX Runtime's exceptions share no other base class
        raise VerificationError(f"ONNX Runtime cannot load the model on {device}: {error}") from error
    if opened.get_providers()[0] != provider:
        raise _not_loaded(device, provider, opened.get_providers())
    return opened


def _provider(device: str) -> tuple[str, dict[str, str]]:
    kind, _, number = device.partition(":")
    if kind not in _PROVIDERS or (":" in device and (kind == "cpu" or not number.isdecimal())):
        raise unknown("device", device, sorted(_PROVIDERS))
    return _PROVIDERS[kind], ({"device_id": number} if number else {})


def _preload_cuda() -> None:
    """Loads the CUDA libraries that torch's wheels bring along; what ONNX Runtime prints about it goes to the log."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        onnxruntime.preload_dlls()
    if text := printed.getvalue().strip():
        _LOG.debug("%s", text)


def _options(threads: int | None, libraries: Sequence[Path]) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL  # errors come as exceptions
    if threads is not None:
        options.intra_op_num_threads = threads
    for library in libraries:
        add_to(options, library)
    return options


def _not_loaded(device: str, provider: str, loaded: Sequence[str]) -> RunError:
    return RunError(
        f"device '{device}' needs ONNX Runtime's {provider}, which did not load (loaded: {', '.join(loaded)}); "
        "install its driver and libraries, or choose --device cpu"
    )


@contextmanager
def _fatal_errors_only() -> Iterator[None]:
    """Silences the default logger, through which a missing CUDA library is reported at length."""
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
