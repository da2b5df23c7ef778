"""Randomness is an argument: every generator is derived from (seed, purpose, name).

No global generator is ever touched. Two purposes or two names never share a stream, so adding a layer
does not change the draw of another one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, purpose: str, name: str = "") -> int:
    """A 63-bit seed for one purpose and one name, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\x1f{purpose}\x1f{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def torch_generator(seed: int, purpose: str, name: str = "") -> torch.Generator:
    """A CPU `torch.Generator` for (seed, purpose, name)."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, name))


def numpy_generator(seed: int, purpose: str, name: str = "") -> np.random.Generator:
    """A numpy PCG64 generator for (seed, purpose, name)."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(derive(seed, purpose, name)))
