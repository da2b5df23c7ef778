"""Masks of parameters that are divided among processes, as `fully_shard` leaves them.

Such a tensor is known by what it has. Only `training` imports process groups.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_sharded(tensor: Any) -> bool:  # noqa: ANN401 - a tensor, of a class that is not imported here
    """Whether `tensor` is a DTensor, of which this process holds a part."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


def local_part(tensor: Tensor) -> Tensor:
    """What this process holds of `tensor`: all of it, unless it is sharded."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def shard_like(mask: Tensor, parameter: Any) -> Tensor:  # noqa: ANN401 - as above
    """The part of `mask` for the part of `parameter` that this process holds; every process has the whole mask."""
    if not is_sharded(parameter):
        return mask
    whole = type(parameter.data).from_local(mask.to(parameter.device), parameter.device_mesh, run_check=False)
    part: Tensor = whole.redistribute(placements=parameter.placements).to_local()
    return part
