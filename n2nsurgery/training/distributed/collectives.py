"""What some of several processes do for the others: work that is done once, facts that all must share, files sent.

What is sent are JSON texts and the bytes of tensors. torch's `broadcast_object_list` would be shorter and pickles; a
checkpoint that was read from disk is among what is sent here, and nothing that was read is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from n2nsurgery.core.errors import LostProcessError, N2NSurgeryError, UsageError
from n2nsurgery.core.fingerprint import canonical_json
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.sealed_folder import SealedFiles

T = TypeVar("T")


def on_rank_zero(processes: DistributedContext, work: Callable[[], T]) -> T | None:
    """What `work` returns in process 0, while the others wait and get None; errors as for `on_ranks`."""
    return on_ranks(processes, work, chosen=processes.rank == 0)


def on_ranks(processes: DistributedContext, work: Callable[[], T], *, chosen: bool) -> T | None:
    """What `work` returns in those processes that are `chosen`, while the others wait and get None.

    Where it fails, its error is raised there and a LostProcessError in the others: none waits for what will not come.
    """
    result: T | None = None
    failure: N2NSurgeryError | None = None
    if chosen:
        try:
            result = work()
        except N2NSurgeryError as error:
            failure = error
    if processes.all_reduce_any(failure is not None):
        raise failure or LostProcessError("another process failed; its message says why")
    return result


def require_agreement(processes: DistributedContext, facts: Mapping[str, Any]) -> None:
    """Return where every process has the same `facts` (JSON values by name), whatever each was started with.

    Otherwise all of them raise a UsageError that names what differs, instead of waiting for each other later.
    """
    if processes.size == 1:
        return
    text = canonical_json(dict(facts))
    own = torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
    found = processes.all_gather(own)
    other = next((rank for rank, value in enumerate(found) if not torch.equal(value, found[0])), None)
    if other is None:
        return
    first, second = (json.loads(_text_of(processes, text, source)) for source in (0, other))
    differing = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    told = "; ".join(f"{name} is {second.get(name)!r}, in process 0 {first.get(name)!r}" for name in differing)
    raise UsageError(f"process {other} was not started like process 0: {told}. Start all processes with the same")


def broadcast_from_rank_zero(processes: DistributedContext, files: SealedFiles | None) -> SealedFiles | None:
    """The `files` of process 0 in every process, tensors on the CPU; what the others pass is not looked at."""
    if processes.size == 1:
        return files
    head = json.loads(_text_of(processes, json.dumps(_head(files)), 0))
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


def _text_of(processes: DistributedContext, text: str, source: int) -> str:
    """The `text` of process `source`."""
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    length = torch.tensor([data.numel()])
    processes.broadcast([length], source)
    if processes.rank != source:
        data = torch.empty(int(length), dtype=torch.uint8)
    processes.broadcast([data], source)
    return data.numpy().tobytes().decode()


def _tensor_of_rank_zero(
    processes: DistributedContext, own: Tensor | None, shape: list[int], dtype: torch.dtype
) -> Tensor:
    """A tensor of process 0; it travels as bytes, for not every way of sending knows every type."""
    tensor = torch.empty(shape, dtype=dtype) if own is None else own.detach().cpu().contiguous()
    if tensor.numel():
        processes.broadcast([tensor.reshape(-1).view(torch.uint8)])
    return tensor
