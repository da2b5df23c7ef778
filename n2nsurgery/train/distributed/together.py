"""What some of several processes do for the others: work that is done once, and files sent without a common disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from n2nsurgery.core.errors import N2NSurgeryError, RunError
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.train.distributed.world import World

T = TypeVar("T")


def by_first(world: World, work: Callable[[], T]) -> T | None:
    """What `work` returns in process 0, while the others wait and get None; errors as for `by_chosen`."""
    return by_chosen(world, work, chosen=world.rank == 0)


def by_chosen(world: World, work: Callable[[], T], *, chosen: bool) -> T | None:
    """What `work` returns in those processes that are `chosen`, while the others wait and get None.

    Where it fails, its error is raised there and a RunError in the others: none waits for what will not come.
    """
    result: T | None = None
    failure: N2NSurgeryError | None = None
    if chosen:
        try:
            result = work()
        except N2NSurgeryError as error:
            failure = error
    if world.any(failure is not None):
        raise failure or RunError("another process failed; its message says why")
    return result


def from_first(world: World, files: SealedFiles | None) -> SealedFiles | None:
    """The `files` of process 0 in every process, tensors on the CPU; what the others pass is not looked at."""
    if world.size == 1:
        return files
    head = json.loads(_text_of_first(world, json.dumps(_head(files))))
    if head is None:
        return None
    tensors: dict[str, dict[str, Tensor]] = {group: {} for group in head.pop("groups")}
    for group, name, shape, dtype in head.pop("tensors"):
        own = files.tensors[group][name] if world.rank == 0 and files is not None else None
        tensors[group][name] = _tensor_of_first(world, own, shape, getattr(torch, dtype))
    return SealedFiles(folder=Path(head.pop("folder")), tensors=tensors, **head)


def _head(files: SealedFiles | None) -> dict[str, Any] | None:
    if files is None:
        return None
    tensors = [
        (group, name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for group, named in files.tensors.items()
        for name, tensor in named.items()
    ]
    return {
        "folder": str(files.folder),
        "kind": files.kind,
        "documents": dict(files.documents),
        "groups": list(files.tensors),
        "tensors": tensors,
    }


def _text_of_first(world: World, text: str) -> str:
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    length = torch.tensor([data.numel()])
    world.share([length])
    if world.rank:
        data = torch.empty(int(length), dtype=torch.uint8)
    world.share([data])
    return data.numpy().tobytes().decode()


def _tensor_of_first(world: World, own: Tensor | None, shape: list[int], dtype: torch.dtype) -> Tensor:
    """A tensor of process 0; it travels as bytes, for not every way of sending knows every type."""
    tensor = torch.empty(shape, dtype=dtype) if own is None else own.detach().cpu().contiguous()
    if tensor.numel():
        world.share([tensor.reshape(-1).view(torch.uint8)])
    return tensor
