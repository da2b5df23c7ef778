"""Which weights of a layer are kept, as the kernels read it; immutable, and made in a time of O(kept weights)."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.patterns.exchange import carried
from n2nsurgery.sparse_training.functions import native

_MOST = 2**31 - 1


class SparsePattern:
    """The places of the kept weights of a weight of `shape` = (out, in / groups, *kernel).

    `flat` holds them in ascending order as int64 indices into the flattened weight: the order of a layer's values.
    """

    def __init__(self, flat: Tensor, shape: Sequence[int], *, groups: int = 1) -> None:
        """Raises UsageError where `flat` is not ascending within `shape`, or the shape and the groups do not agree."""
        self.shape = tuple(int(size) for size in shape)
        self.groups = groups
        if len(self.shape) < 2 or min(self.shape) < 1 or groups < 1 or self.shape[0] % groups:  # noqa: PLR2004
            raise UsageError(f"no layer has a weight of shape {self.shape} in {groups} groups")
        self.flat = flat.detach().to(device="cpu", dtype=torch.int64).contiguous()
        self._width = math.prod(self.shape[1:])
        _require_ascending(self.flat, math.prod(self.shape))
        self.rows = self._row_starts()
        self.index = (self.flat % self._width).to(torch.int32)
        self._handle = self._make()

    @classmethod
    def of(cls, mask: Tensor, *, groups: int = 1) -> SparsePattern:
        """The pattern of a boolean mask in the weight's shape."""
        if mask.dtype != torch.bool:
            raise UsageError(f"the mask is {mask.dtype}; torch.bool is needed: True keeps the weight")
        return cls(mask.flatten().nonzero()[:, 0], mask.shape, groups=groups)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return self.flat.numel()

    @property
    def density(self) -> float:
        """Kept share of all weights."""
        return self.kept / math.prod(self.shape)

    @property
    def handle(self) -> ctypes.c_void_p:
        """The native pattern; lives as long as this object."""
        return self._handle

    def mask(self) -> Tensor:
        """The boolean mask in the weight's shape."""
        mask = torch.zeros(math.prod(self.shape), dtype=torch.bool)
        mask[self.flat] = True
        return mask.reshape(self.shape)

    def carried(self, values: Tensor, former: SparsePattern) -> Tensor:
        """`values` of the pattern `former` at the places kept by both, zero at those which are new."""
        if former.shape != self.shape:
            raise UsageError(f"a pattern of shape {former.shape} carries nothing into one of shape {self.shape}")
        return carried(values, former.flat, self.flat)

    def __deepcopy__(self, memo: dict[int, Any]) -> SparsePattern:
        """Itself: a pattern never changes."""
        return self

    def __reduce__(self) -> tuple[Callable[..., SparsePattern], tuple[Any, ...]]:
        """How another process makes it anew."""
        return _rebuilt, (self.flat, self.shape, self.groups)

    def __repr__(self) -> str:
        """Shape and counts."""
        return f"SparsePattern({self.kept:,} of {math.prod(self.shape):,} kept, shape={self.shape})"

    def _row_starts(self) -> Tensor:
        bounds = torch.arange(self.shape[0] + 1) * self._width
        return torch.searchsorted(self.flat, bounds).to(torch.int32)

    def _make(self) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        native.call(
            "pattern_make",
            *map(ctypes.c_int64, (self.groups, self.shape[1] * self.groups, self.shape[0], math.prod(self.shape[2:]))),
            native.pointer(self.rows),
            native.pointer(self.index),
            ctypes.byref(handle),
        )
        weakref.finalize(self, native.library().n2nsurgery_pattern_free, handle)
        return handle


def _rebuilt(flat: Tensor, shape: Sequence[int], groups: int) -> SparsePattern:
    return SparsePattern(flat, shape, groups=groups)


def _require_ascending(flat: Tensor, numel: int) -> None:
    if flat.ndim != 1 or flat.numel() > _MOST:
        raise UsageError(f"the kept places have shape {tuple(flat.shape)}; one dimension below 2^31 is needed")
    if flat.numel() and (int(flat[0]) < 0 or int(flat[-1]) >= numel or not bool((flat[1:] > flat[:-1]).all())):
        raise UsageError(f"the kept places are not ascending within the {numel:,} weights of the layer")
