"""The native library's training functions, called with raw pointers.

Every function returns None or a message; `call` raises it. The library is loaded once for each path, when it is first
needed, so that importing this package needs no compiler.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.runtime import LIBRARY_VARIABLE, LibraryNotBuiltError, library_path
from n2nsurgery.runtime.build import SOURCES, is_up_to_date

Axes = tuple[int, int, int]
_AXES = ctypes.c_int64 * 3
_CALLS = (
    "n2nsurgery_pattern_make",
    "n2nsurgery_conv_forward",
    "n2nsurgery_conv_backward",
    "n2nsurgery_norm_forward",
    "n2nsurgery_norm_backward",
    "n2nsurgery_max_pool",
    "n2nsurgery_max_pool_gradient",
    "n2nsurgery_average_pool",
    "n2nsurgery_average_pool_gradient",
    "n2nsurgery_transpose",
)


class ConvShape(ctypes.Structure):
    """Sizes of one convolution; channels are counted over all groups, `pad` is what precedes the input."""

    _fields_: ClassVar = [
        ("batch", ctypes.c_int64),
        ("groups", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("input", _AXES),
        ("kernel", _AXES),
        ("stride", _AXES),
        ("pad", _AXES),
        ("dilation", _AXES),
        ("output", _AXES),
    ]


class ConvForward(ctypes.Structure):
    """Pointers of a convolution's forward pass, and whether a ReLU follows."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("values", "bias", "x", "y")),
        ("relu", ctypes.c_int64),
    ]


class ConvBackward(ctypes.Structure):
    """Pointers of a convolution's backward pass; gradients that are not wanted are null."""

    _fields_: ClassVar = [
        (name, ctypes.c_void_p) for name in ("values", "x", "y", "dy", "passed", "dx", "dvalues", "dbias")
    ]


class PoolShape(ctypes.Structure):
    """Sizes of one pooling."""

    _fields_: ClassVar = [
        ("channels", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("input", _AXES),
        ("output", _AXES),
        ("kernel", _AXES),
        ("stride", _AXES),
        ("pad", _AXES),
        ("dilation", _AXES),
    ]


class Windows(ctypes.Structure):
    """Pointers to the begin, the end and the share of the windows along each axis."""

    _fields_: ClassVar = [
        ("begin", ctypes.c_void_p * 3),
        ("end", ctypes.c_void_p * 3),
        ("share", ctypes.c_void_p * 3),
    ]


class NormShape(ctypes.Structure):
    """Channels, contiguous elements of a channel, and whether a ReLU follows."""

    _fields_: ClassVar = [("channels", ctypes.c_int64), ("count", ctypes.c_int64), ("relu", ctypes.c_int64)]


class NormForward(ctypes.Structure):
    """Pointers of a BatchNorm's forward pass."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("x", "residual", "y", "weight", "bias", "mean", "variance")),
        *((name, ctypes.c_void_p) for name in ("inverse", "scale", "shift")),
        ("epsilon", ctypes.c_double),
        ("training", ctypes.c_int64),
    ]


class NormBackward(ctypes.Structure):
    """Pointers of a BatchNorm's backward pass."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("x", "y", "dy", "passed", "dx", "weight", "mean")),
        *((name, ctypes.c_void_p) for name in ("inverse", "scale", "shift", "dweight", "dbias")),
        ("training", ctypes.c_int64),
    ]


@lru_cache(maxsize=8)
def _load(path: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
        for name in _CALLS:
            getattr(library, name).restype = ctypes.c_char_p
        library.n2nsurgery_pattern_free.restype = None
    except (OSError, AttributeError) as error:
        raise LibraryNotBuiltError(
            f"the sparse kernels do not load: {error}. `python -m n2nsurgery.runtime.build` builds them anew."
        ) from error
    if SOURCES.is_dir() and not is_up_to_date(Path(path)):  # its functions may take other arguments
        raise LibraryNotBuiltError(
            f"{path} was built from other sources than these. `python -m n2nsurgery.runtime.build` builds it anew."
        )
    return library


@lru_cache(maxsize=8)
def _named(variable: str | None) -> ctypes.CDLL:  # noqa: ARG001 - what library_path depends on
    return _load(str(library_path()))


def library() -> ctypes.CDLL:
    """The loaded library; raises LibraryNotBuiltError where there is none."""
    return _named(os.environ.get(LIBRARY_VARIABLE))


def call(name: str, *arguments: Any) -> None:  # noqa: ANN401 - what ctypes takes
    """Call the library's function `n2nsurgery_<name>`.

    Raises UsageError with what it said, MemoryError where there is too little.
    """
    message = getattr(library(), f"n2nsurgery_{name}")(*arguments)
    if message == b"std::bad_alloc":
        raise MemoryError(message.decode())
    if message is not None:
        raise UsageError(f"the sparse kernels refuse: {message.decode()}")


def threads() -> ctypes.c_int:
    """As many threads as torch uses."""
    return ctypes.c_int(torch.get_num_threads())


def pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    """The address of a tensor's first element."""
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def address(tensor: Tensor | None) -> int | None:
    """The same as a number, for a structure's field."""
    return None if tensor is None else tensor.data_ptr()


def axes(sizes: Sequence[int], missing: int) -> Axes:
    """Sizes of one, two or three axes as depth, height and width; those that are missing come first."""
    return tuple([missing] * (3 - len(sizes)) + list(sizes))  # type: ignore[return-value]
