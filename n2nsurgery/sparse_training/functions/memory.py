"""Memory of activations that is used again in every step, on large pages where the system has them.

An allocator that gives large tensors back to the system gets new pages for the next ones, which the system clears
first: a fifth of a training step. Here a tensor's memory is kept when the tensor dies, for the next ones.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import weakref
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

_LEAST_BYTES = 1 << 17  # smaller tensors are torch's: its allocator keeps their memory
_LARGE_PAGE = 1 << 21
_PAGE = 1 << 12
_LEAST_REGION = 1 << 24


class _Region:
    """Memory of its own; begins at a large page."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pages = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        self.address = -(-start // _LARGE_PAGE) * _LARGE_PAGE


class _Block(NamedTuple):
    """A part of a region, which lives as long as its blocks do."""

    address: int
    size: int
    region: _Region


class _Pool:
    """Unused blocks by size. A block is given out again, a larger one is cut, neighbours are joined where none fits.

    Before more memory is asked for, regions that are unused go back to the system as far as all would be more than
    what was in use at once. Tensors die in any thread, also while this thread holds the lock, where the garbage
    collector runs.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._free: dict[int, list[_Block]] = {}
        self._used = 0
        self._most_used = 0
        self._unused = 0

    def take(self, size: int) -> _Block:
        size = -(-size // _PAGE) * _PAGE
        with self._lock:
            block = self._fitting(size)
            if block is None:
                self._join()
                block = self._fitting(size)
            if block is None:
                self._shrink(max(self._most_used - self._used - size, 0))
                region = _Region(max(size, _LEAST_REGION))
                self._unused += region.size
                block = _Block(region.address, region.size, region)
            self._used += size
            self._most_used = max(self._most_used, self._used)
            self._unused -= size
            if block.size > size:
                self._keep(_Block(block.address + size, block.size - size, block.region))
        return _Block(block.address, size, block.region)

    def give_back(self, block: _Block) -> None:
        with self._lock:
            self._used -= block.size
            self._unused += block.size
            self._keep(block)

    def free_lock(self) -> None:
        """Forget who holds the lock."""
        self._lock = threading.RLock()

    def release(self) -> None:
        with self._lock:
            self._most_used = self._used
            self._join()
            self._shrink(0)

    def _keep(self, block: _Block) -> None:
        self._free.setdefault(block.size, []).append(block)

    def _fitting(self, size: int) -> _Block | None:
        """The smallest unused block that is large enough, taken out."""
        least = size if size in self._free else min((known for known in list(self._free) if known > size), default=0)
        if not least:
            return None
        block = self._free[least].pop()
        if not self._free[least]:
            del self._free[least]
        return block

    def _join(self) -> None:
        """Make one block of neighbours."""
        free, self._free = self._free, {}  # what dies meanwhile is kept in the new one
        blocks = sorted(block for blocks in free.values() for block in blocks)
        before: _Block | None = None
        for block in blocks:
            if before is not None and before.region is block.region and before.address + before.size == block.address:
                before = _Block(before.address, before.size + block.size, before.region)
                continue
            if before is not None:
                self._keep(before)
            before = block
        if before is not None:
            self._keep(before)

    def _shrink(self, most: int) -> None:
        """Free whole unused regions until what is unused is `most` bytes."""
        for size in list(self._free):
            for block in [block for block in self._free[size] if block.region.size == size]:
                if self._unused > most:
                    self._free[size].remove(block)
                    self._unused -= size
            if not self._free[size]:
                del self._free[size]


_pool = _Pool()


def _begin_anew() -> None:
    """In a forked child, whose parent's other threads may have held the lock."""
    global _pool  # noqa: PLW0603 - one of the process
    _pool.free_lock()  # tensors from before the fork go back to this pool
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
        return torch.empty_strided(shape, strides, dtype=torch.float32, device="cpu")
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
