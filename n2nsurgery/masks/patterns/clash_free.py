"""Clash-free patterns: fixed fan-out and fan-in from an interleaver that hardware can follow without bank conflicts.

The n_in left neurons lie in z memory banks of depth D = n_in / z: neuron d z + b at address d of bank b. One cycle
reads one neuron of each bank, so no two reads clash; D cycles are a sweep, which reads every neuron once, and there
are fo sweeps. Bank b starts at the address phi_b of the seed vector phi in {0 .. D - 1}^z and counts on cyclically:

    left neuron of (sweep s, cycle c, bank b) = ((phi_sb + c) mod D) z + b

Right neurons take the reads in order, fi each. Each sweep draws a phi of its own, among those by which no right
neuron reads a left one twice. With z = n_in a sweep is one cycle, and its reads come in a random order instead.
Source: Dey et al. 2019, "Pre-Defined Sparse Neural Networks with Hardware Acceleration", section III.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.masks.patterns.fans import fan_in_of


def clash_free(n_out: int, n_in: int, *, fan_out: int, seed: int, banks: int | None = None) -> Tensor:
    """A boolean matrix (n_out, n_in), fan-outs and fan-ins fixed, that is read from `banks` banks without a clash.

    `banks` divides n_in; None takes the divisor nearest to its square root. Raises UsageError for other banks,
    BudgetError for a fan-out without a whole fan-in, and where no pattern without a double edge was found.
    """
    fan_in = fan_in_of(n_out, n_in, fan_out)
    banks = _square_root_divisor(n_in) if banks is None else banks
    if not 1 <= banks <= n_in or n_in % banks:
        raise UsageError(f"{banks} banks for {n_in:,} left neurons; the number of banks must divide that of neurons")
    generator = numpy_generator(seed, "clash free", f"{n_out}x{n_in}")
    reads = np.empty(fan_out * n_in, dtype=np.int64)
    for begin in range(0, reads.size, n_in):
        held = reads[begin - begin % fan_in : begin]  # what the right neuron that spans two sweeps has read so far
        missing = fan_in - held.size if held.size else 0
        reads[begin : begin + n_in] = _sweep(n_in, banks, generator, missing, held)
    mask = torch.zeros(n_out, n_in, dtype=torch.bool)
    mask[torch.arange(reads.size) // fan_in, torch.from_numpy(reads)] = True
    return mask


def _sweep(n_in: int, banks: int, generator: np.random.Generator, missing: int, held: np.ndarray) -> np.ndarray:
    """An order of all left neurons whose first `missing` are none of `held`."""
    depth = n_in // banks
    if depth == 1:
        order = generator.permutation(n_in)
        first = order[~np.isin(order, held)][:missing]
        return np.concatenate((first, order[~np.isin(order, first)]))
    address = np.arange(depth)
    start = np.empty(banks, dtype=np.int64)
    for bank in range(banks):
        cycles = -((bank - missing) // banks) if bank < missing else 0
        taken = np.isin((address[:, None] + address[None, :cycles]) % depth * banks + bank, held).any(axis=1)
        if taken.all():
            raise BudgetError(
                f"{n_in:,} left neurons in {banks} banks: no sweep completes a right neuron without a double edge; take"
                f" a fan-in that divides {n_in:,}, other banks, or the criterion fixed-fan"
            )
        start[bank] = generator.choice(address[~taken])
    return ((start[None, :] + address[:, None]) % depth * banks + np.arange(banks)[None, :]).reshape(-1)


def _square_root_divisor(n: int) -> int:
    return min((d for d in range(1, n + 1) if n % d == 0), key=lambda d: abs(d - n**0.5))
