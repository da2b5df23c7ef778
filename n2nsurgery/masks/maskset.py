"""MaskSet: which weights survive, as an immutable mapping from parameter names to boolean tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import InternalError
from n2nsurgery.core.fingerprint import canonical_json


class MaskSet(Mapping[str, Tensor]):
    """Boolean masks by parameter name: True keeps the weight, False prunes it.

    The tensors lie on the CPU, are contiguous and must not be written to: the counts and the fingerprint are
    computed once. Equality and hash follow the fingerprint. Never holds weights or scores.

        >>> masks = MaskSet({"weight": torch.tensor([[True, False], [False, False]])})
        >>> masks.kept, masks.numel, masks.counts
        (1, 4, {'weight': 1})
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        """Take over `masks`; InternalError where one is not boolean."""
        for name, mask in masks.items():
            if mask.dtype != torch.bool:
                raise InternalError(f"the mask of '{name}' is {mask.dtype}, not torch.bool")
        self._masks = {name: mask.detach().cpu().contiguous() for name, mask in masks.items()}

    def __getitem__(self, name: str) -> Tensor:
        """The mask of the parameter `name`, in the parameter's shape."""
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        """Parameter names in the order in which they were given."""
        return iter(self._masks)

    def __len__(self) -> int:
        """Number of masked parameters."""
        return len(self._masks)

    def __eq__(self, other: object) -> bool:
        """Same names, shapes and bits."""
        return isinstance(other, MaskSet) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        """Hash of the fingerprint."""
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        """Counts and the start of the fingerprint."""
        return f"MaskSet({len(self)} masks, {self.kept:,} of {self.numel:,} kept, {self.fingerprint[:12]})"

    @cached_property
    def counts(self) -> dict[str, int]:
        """Kept weights by parameter name."""
        return {name: int(np.count_nonzero(mask.numpy())) for name, mask in self._masks.items()}

    @property
    def kept(self) -> int:
        """Kept weights in all."""
        return sum(self.counts.values())

    @property
    def numel(self) -> int:
        """Weights in all, kept or pruned."""
        return sum(mask.numel() for mask in self._masks.values())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names, their shapes and their packed bits; the same on every machine."""
        digest = hashlib.sha256()
        for name in sorted(self._masks):
            mask = self._masks[name]
            digest.update(canonical_json([name, list(mask.shape)]).encode())
            digest.update(packed_bits(mask).tobytes())
        return digest.hexdigest()

    def with_(self, other: Mapping[str, Tensor]) -> MaskSet:
        """A new set with the masks of `other` added; those of the same name are replaced."""
        return MaskSet({**self._masks, **other})


def packed_bits(mask: Tensor) -> np.ndarray:
    """The bits of a CPU mask in flat order, eight to a byte, the first in the lowest bit; the rest is zero."""
    return np.packbits(mask.numpy().reshape(-1), bitorder="little")
