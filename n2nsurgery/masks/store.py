"""Masks as packed bits: eight weights to a byte, ready for a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.masks.maskset import MaskSet, packed_bits


def pack(masks: MaskSet) -> dict[str, Tensor]:
    """One uint8 tensor of ceil(numel / 8) bytes for each mask: flat order, the first weight in the lowest bit."""
    return {name: torch.from_numpy(packed_bits(mask)) for name, mask in masks.items()}


def unpack(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> MaskSet:
    """The masks that `pack` was given, in the order of `shapes` (parameter name -> shape).

    Raises InvalidFileError where the names differ from those of `shapes`, or where a tensor has another type or
    length than its shape asks for, or bits set after its end.
    """
    _require_same_names(tensors, shapes)
    return MaskSet({name: _unpack_one(name, tensors[name], shape) for name, shape in shapes.items()})


def _require_same_names(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise InvalidFileError(f"the masks of {len(missing)} parameters are missing, first '{missing[0]}'")
    if unknown := sorted(tensors.keys() - shapes.keys()):
        raise InvalidFileError(f"{len(unknown)} masks belong to no parameter of the plan, first '{unknown[0]}'")


def _unpack_one(name: str, packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    numel = prod(shape)
    expected = (numel + 7) // 8
    if packed.dtype != torch.uint8 or packed.dim() != 1 or packed.numel() != expected:
        raise InvalidFileError(
            f"the mask of '{name}' holds {packed.numel()} values of {packed.dtype}; shape {tuple(shape)} needs "
            f"{expected} bytes of torch.uint8"
        )
    bits = np.unpackbits(packed.cpu().numpy(), bitorder="little")
    if bits[numel:].any():
        raise InvalidFileError(f"the mask of '{name}' has bits set after its {numel} weights: the file was altered")
    return torch.from_numpy(bits[:numel].astype(np.bool_).reshape(shape))
