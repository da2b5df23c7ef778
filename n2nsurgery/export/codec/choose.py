"""Which code of a weight is smallest.

With n places and m kept values of b bytes: gaps take (b + 1) or (b + 2) bytes for each entry (kept or filler), a
bitmask n / 8 + b m, a dense tensor b n. At b = 4 and random places the bitmask wins above a density of about 12.5 %,
two-byte gaps below about 0.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.export.codec import gaps

Code = Literal["gaps8", "gaps16", "bits", "dense"]
GAP_TYPES = {"gaps8": np.uint8, "gaps16": np.uint16}

OVERHEAD = 200
"""Bytes that a second tensor and a node with its attributes add to a coded weight."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The smallest code; `sizes` are the bytes of each, overhead included, and `reason` compares them."""

    code: Code
    sizes: dict[Code, int]

    @property
    def reason(self) -> str:
        """In words."""
        dense = self.sizes["dense"]
        if self.code == "dense":
            best = min(size for code, size in self.sizes.items() if code != "dense")
            return f"dense is smallest: {dense} bytes, coded {best}"
        return f"{self.code} is smallest: {self.sizes[self.code]} bytes, dense {dense}"


def choose(positions: NDArray[np.int64], numel: int, value_bytes: int, dense_bytes: int = 4) -> Choice:
    """The Choice for a weight of `numel` places with non-zeros at `positions` (ascending); ties go to the earlier.

    `value_bytes`: of a kept value in a code; `dense_bytes`: of an entry of the dense tensor.
    """
    sizes: dict[Code, int] = {
        "gaps8": OVERHEAD + gaps.entries(positions, np.uint8) * (value_bytes + 1),
        "gaps16": OVERHEAD + gaps.entries(positions, np.uint16) * (value_bytes + 2),
        "bits": OVERHEAD + (numel + 7) // 8 + len(positions) * value_bytes,
        "dense": numel * dense_bytes,
    }
    return Choice(code=min(sizes, key=lambda code: sizes[code]), sizes=sizes)
