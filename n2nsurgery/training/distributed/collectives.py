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
from n2nsurgery.training.distributed.distributed_context import DistributedContext

T = TypeVar("T")


def on_rank_zero(processes: DistributedContext, work: Callable[[], T]) -> T | None:
    """What `work` returns in process 0, while the others wait and get None; errors as for `on_ranks`."""
    return on_ranks(processes, work, chosen=processes.rank == 0)


def on_ranks(processes: DistributedContext, work: Callable[[], T], *, chosen: bool) -> T | None:
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
    if processes.all_reduce_any(failure is not None):
        raise failure or RunError("another process failed; its message says why")
    return result


def broadcast_from_rank_zero(processes: DistributedContext, files: SealedFiles | None) -> SealedFiles | None:
    """The `files` of process 0 in every process, tensors on the CPU; what the others pass is not looked at."""
    if processes.size == 1:
        return files
    head = json.loads(_text_of_rank_zero(processes, json.dumps(_head(files))))
    if head is None:
        return None
    tensors: dict[str, dict[str, Tensor]] = {group: {} for group in head.pop("groups")}
    for group, name, shape, dtype in head.pop("tensors"):
        own = files.tensors[group][name] if processes.rank == 0 and files is not None else None
        tensors[group][name] = _tensor_of_rank_zero(processes, own, shape, getattr(torch, dtype))
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


def _text_of_rank_zero(processes: DistributedContext, text: str) -> str:
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    length = torch.tensor([data.numel()])
    processes.broadcast([length])
    if processes.rank:
        data = torch.empty(int(length), dtype=torch.uint8)
    processes.broadcast([data])
    return data.numpy().tobytes().decode()


def _tensor_of_rank_zero(
    processes: DistributedContext, own: Tensor | None, shape: list[int], dtype: torch.dtype
) -> Tensor:
    """A tensor of process 0; it travels as bytes, for not every way of sending knows every type."""
    tensor = torch.empty(shape, dtype=dtype) if own is None else own.detach().cpu().contiguous()
    if tensor.numel():
        processes.broadcast([tensor.reshape(-1).view(torch.uint8)])
    return tensor
