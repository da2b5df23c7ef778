"""How many bytes of samples may be held in memory."""

from __future__ import annotations

from n2nsurgery.core.errors import UsageError

_MOST_BYTES = 16 << 30


def require_memory(count: int, size: int) -> None:
    """Return where `count` samples of `size` bytes can be held; raises UsageError."""
    if count * size > _MOST_BYTES:
        raise UsageError(
            f"{count:,} samples of {size:,} bytes would take {count * size / 2**30:,.0f} GiB of memory; at most "
            f"{_MOST_BYTES >> 30} GiB are held: choose a smaller size or fewer samples"
        )
