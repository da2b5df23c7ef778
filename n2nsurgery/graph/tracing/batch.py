"""The two batch sizes at which a model is evaluated while it is traced, and what they say about one sample."""

from __future__ import annotations

BATCH_SIZES = (4, 6)


def per_sample(at_first: int, at_second: int) -> int:
    """What one more sample adds to a count taken at both batch sizes; the count itself where it ignores the batch."""
    if at_first == at_second:
        return at_first
    return (at_second - at_first) // (BATCH_SIZES[1] - BATCH_SIZES[0])
