"""Masks as packed bits, eight weights to a byte, and the kept weights alone: ready for a safetensors file."""

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


def kept_values(
    state: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The entries of `state` without a mask, and of those with one the kept values (1-D, flat order).

    Pruned entries, which are zero, are in neither.
    """
    dense = {name: tensor for name, tensor in state.items() if name not in masks}
    return dense, {name: state[name].detach().cpu()[mask.cpu()] for name, mask in masks.items()}


def with_zeros(values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose kept values `kept_values` gave, pruned entries zero.

    Raises InvalidFileError for a name without a mask and for another number of values than the mask keeps.
    """
    found: dict[str, Tensor] = {}
    for name, kept in values.items():
        mask = masks.get(name)
        if mask is None:
            raise InvalidFileError(f"the kept values of '{name}' have no mask")
        count = int(mask.sum())
        if kept.shape != (count,):
            raise InvalidFileError(f"'{name}' has kept values of shape {tuple(kept.shape)}; its mask keeps {count:,}")
        found[name] = kept.new_zeros(mask.shape).masked_scatter_(mask, kept)
    return found


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
