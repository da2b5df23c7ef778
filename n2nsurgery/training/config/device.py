"""Where a run computes, and how strictly: device names, deterministic algorithms, autocast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch

from n2nsurgery.core.errors import RunError

_MEMORY: Any = torch.utils.deterministic  # a module with properties, which its annotations do not show
_DTYPES = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called `name`; `auto` is the GPU numbered `local_rank` where torch sees one, else the CPU.

    Raises RunError where a GPU was asked for that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    number = int(name.partition(":")[2] or local_rank) if name != "auto" else local_rank
    if number >= count:
        raise RunError(
            f"device '{name}' was asked for (GPU {number}), and torch sees {count} CUDA devices; "
            "choose another, or device cpu"
        )
    return torch.device("cuda", number)


def autocast(device: torch.device, amp: Literal["off", "bf16", "fp16"]) -> AbstractContextManager[None]:
    """The context of a forward pass; none is entered for `off`."""
    return torch.autocast(device.type, dtype=_DTYPES[amp], enabled=amp != "off")


@contextmanager
def deterministic_mode(*, deterministic: bool) -> Iterator[None]:
    """Inside, torch refuses operations without a deterministic form (RunError) where `deterministic`."""
    if not deterministic:
        yield
        return
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    fill, benchmark = _MEMORY.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when its first handle is made
    torch.use_deterministic_algorithms(mode=True)
    _MEMORY.fill_uninitialized_memory = False  # for finding bugs; it costs a pass over new memory
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" in str(error):
            raise RunError(f"{error} (deterministic mode refuses it; leave the mode or change the layer)") from error
        raise
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        _MEMORY.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
