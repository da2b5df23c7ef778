"""Memory of activations that is used again in every step, on large pages where the system has them.

An allocator that gives large tensors back to the system gets new pages for the next ones, which the system clears
first: a fifth of a training step. Here a tensor's memory is kept when the tensor dies, for the next one of its size.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import weakref
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_LEAST_BYTES = 1 << 20  # smaller tensors are torch's: its allocator keeps their memory
_LARGE_PAGE = 1 << 21
_KEPT = 1.5  # times what was in use at once: sizes differ between the passes


class _Block:
    """Memory of its own; begins at a large page."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pages = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        self.address = -(-start // _LARGE_PAGE) * _LARGE_PAGE


class _Pool:
    """Blocks by size; those that no tensor uses are given out again, and are freed beyond a multiple of the most used.

    Tensors die in any thread, also while this thread holds the lock, where the garbage collector runs.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._free: dict[int, list[_Block]] = {}
        self._used = 0
        self._most_used = 0
        self._unused = 0

    def take(self, size: int) -> _Block:
        with self._lock:
            self._used += size
            self._most_used = max(self._most_used, self._used)
            if blocks := self._free.get(size):
                self._unused -= size
                return blocks.pop()
            self._shrink(int(_KEPT * self._most_used) - self._used)
        return _Block(size)

    def give_back(self, block: _Block) -> None:
        with self._lock:
            self._used -= block.size
            self._unused += block.size
            self._free.setdefault(block.size, []).append(block)

    def release(self) -> None:
        with self._lock:
            self._most_used = self._used
            self._shrink(0)

    def _shrink(self, most: int) -> None:
        """Free unused blocks until they are `most` bytes, those of the size first that was first used."""
        for size, blocks in self._free.items():
            while blocks and self._unused > most:
                blocks.pop()
                self._unused -= size


_pool = _Pool()


def _begin_anew() -> None:
    """In a forked child, whose parent's other threads may have held the lock."""
    global _pool  # noqa: PLW0603 - one of the process
    _pool = _Pool()


os.register_at_fork(after_in_child=_begin_anew)


@lru_cache(maxsize=1024)
def _lease_type(size: int) -> Any:  # noqa: ANN401 - a class that ctypes makes
    """The type of a buffer of `size` bytes that gives its block back when it dies."""
    return type("_Lease", (ctypes.c_char * size,), {"__del__": lambda lease: lease.pool.give_back(lease.block)})


def empty_strided(shape: tuple[int, ...], strides: tuple[int, ...], elements: int) -> Tensor:
    """An uninitialised float32 tensor of `elements` elements without gaps."""
    size = 4 * elements
    if size < _LEAST_BYTES:
        return torch.empty_strided(shape, strides, dtype=torch.float32)
    pool = _pool
    block = pool.take(size)
    lease = _lease_type(size).from_address(block.address)
    lease.pool, lease.block = pool, block
    return torch.frombuffer(lease, dtype=torch.float32).as_strided_(shape, strides)


def release() -> None:
    """Give memory that no tensor uses back to the system."""
    _pool.release()


def release_after(owner: object) -> None:
    """Do so when `owner` dies."""
    weakref.finalize(owner, release)
