"""The size of an ideal code of a pruned network's non-zeros, to compare files with.

Values count as incompressible and positions as without a pattern; a code that knew more could be smaller.

Per weight: m kept values of 32 bits, and the entropy of their positions, n H(d) bits for n places at density d = m / n,
with H(d) = -d log2 d - (1 - d) log2 (1 - d): m (32 + H(d) / d) bits in all (Shannon 1948, for positions without a
pattern). A dense weight has H = 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2

_VALUE_BITS = 32


def ideal_size(counts: Iterable[tuple[int, int]]) -> float:
    """Bytes for weights of (kept values, places) each, in fp32."""
    return sum(_VALUE_BITS * kept + places * _entropy(kept / places) for kept, places in counts if kept) / 8


def _entropy(density: float) -> float:
    if density in {0, 1}:
        return 0.0
    return -density * log2(density) - (1 - density) * log2(1 - density)
