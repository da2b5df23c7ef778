"""Weights that are different parameters and share memory, as after `decoder.weight.data = encoder.weight.data.t()`.

A mask of one of them would prune the other, and counts would be those of neither. A copy has no such tie.
"""

from __future__ import annotations

import itertools
from collections.abc import Container

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from n2nsurgery.core.errors import UsageError

_LEAST_DIMENSIONS = 2


def require_own_storage(module: nn.Module, prunable: Container[str]) -> None:
    """Return where no entry of a parameter in `prunable` is also one of another matrix or kernel of `module`.

    Raises UsageError with the names of both. Parameters without memory (meta, lazy, sparse or divided among processes)
    are not looked at.
    """
    by_storage: dict[int, list[tuple[str, Tensor]]] = {}
    for name, parameter in module.named_parameters():
        if type(parameter) is nn.Parameter and parameter.dim() >= _LEAST_DIMENSIONS and _has_memory(parameter):
            by_storage.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, parameter.detach()))
    for sharing in by_storage.values():
        for (first, one), (second, other) in itertools.combinations(sharing, 2):
            if (first in prunable or second in prunable) and _overlap(one, other):
                raise UsageError(
                    f"'{first}' and '{second}' are two parameters in the same memory, so pruning one would prune the"
                    " other: make them one parameter (decoder.weight = encoder.weight, or a product with"
                    " encoder.weight.t()), or give each its own values with clone()"
                )


def _has_memory(parameter: Tensor) -> bool:
    usual = not (is_lazy(parameter) or parameter.is_meta) and parameter.layout == torch.strided
    return usual and parameter.numel() > 0 and parameter.untyped_storage().data_ptr() != 0


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage have an entry in common; interleaved ones may have none."""
    (first, last), (start, end) = _bytes(one), _bytes(other)
    if last <= start or end <= first:
        return False
    if one.element_size() != other.element_size():
        return True
    step = one.element_size()
    marks = torch.zeros(max(last, end) // step, dtype=torch.bool)
    marks.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(True)
    return bool(marks.as_strided(other.shape, other.stride(), other.storage_offset()).any())


def _bytes(tensor: Tensor) -> tuple[int, int]:
    """Where the entries of `tensor` begin and end in its storage."""
    first = tensor.storage_offset()
    last = first + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return int(first) * tensor.element_size(), int(last) * tensor.element_size()
