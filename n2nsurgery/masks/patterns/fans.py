"""Fixed fan-out and fan-in: every left neuron has exactly fo edges, every right neuron exactly fi.

A junction joins n_in left to n_out right neurons with W = n_in fo = n_out fi edges, so fo is a multiple of
n_out / gcd(n_in, n_out): other fan-outs leave some right neurons with more edges than others.
Source: "Characterizing sparse connectivity patterns in neural networks", section 2.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import reduce
from math import gcd

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.masks.grid import ChannelGrid
from n2nsurgery.masks.patterns.balanced_assignment import balanced_units

Junction = tuple[int, int]
"""(n_out, n_in), the shape of a junction's matrix."""


def fan_out_step(n_out: int, n_in: int) -> int:
    """The smallest fan-out that gives all right neurons the same fan-in; the legal ones are its multiples to n_out."""
    return n_out // gcd(n_out, n_in)


def regular_step(grid: ChannelGrid) -> int:
    """The weights of the smallest legal fan-out of a layer, whole kernels between its channels."""
    return grid.groups * grid.inputs * fan_out_step(grid.outputs, grid.inputs) * grid.taps


def fan_in_of(n_out: int, n_in: int, fan_out: int) -> int:
    """The fan-in that belongs to `fan_out`; BudgetError naming the nearest legal fan-outs where there is none."""
    step = fan_out_step(n_out, n_in)
    if not 1 <= fan_out <= n_out or fan_out % step:
        raise BudgetError(
            f"fan-out {fan_out} from {n_in:,} to {n_out:,} neurons gives no whole fan-in:"
            f" {_nearest(fan_out, step, n_out)}"
        )
    return n_in * fan_out // n_out


def fan_out_at(n_out: int, n_in: int, density: float) -> int:
    """The fan-out at exactly that density; BudgetError naming the nearest legal ones, with their densities."""
    wanted = density * n_out
    fan_out = round(wanted)
    # Densities are typed in decimals: 0.0179 stands for 4 / 224, and half of the last printed digit is allowed.
    if not 0 < density <= 1 or fan_out % fan_out_step(n_out, n_in) or abs(wanted - fan_out) > 0.005 * max(fan_out, 1):
        raise BudgetError(
            f"density {density:g} of {n_in:,} x {n_out:,} edges does not give a whole fan-out and fan-in:"
            f" {_nearest(wanted, fan_out_step(n_out, n_in), n_out)}"
        )
    return fan_out


def _nearest(wanted: float, step: int, n_out: int) -> str:
    below = min(max(int(wanted // step) * step, step), n_out)
    above = min(below + step, n_out)
    choices = dict.fromkeys((below, above))
    return "nearest are " + " and ".join(f"fan-out {fo} (density {fo / n_out:.6g})" for fo in choices)


def fixed_fan(n_out: int, n_in: int, *, fan_out: int, seed: int) -> Tensor:
    """A random boolean matrix (n_out, n_in) with `fan_out` True in every column and the same number in every row.

    Its own memory is all that is needed. Raises UsageError for sizes below one, BudgetError for a fan-out that leaves
    no whole fan-in.
    """
    _require_sizes(n_out, n_in)
    fan_in_of(n_out, n_in, fan_out)
    grid = ChannelGrid(groups=1, outputs=n_out, inputs=n_in, taps=1)
    generator = numpy_generator(seed, "fixed fan", f"{n_out}x{n_in}")
    return torch.from_numpy(np.ascontiguousarray(balanced_units(grid, n_in * fan_out, generator)[0, :, :, 0]))


def fan_out_settings(junctions: Sequence[Junction], edges: int) -> Iterator[tuple[int, ...]]:
    """All fan-outs, one for each junction, with `edges` edges in all; in ascending order of the first, then the next.

    `junctions` from the input to the output. For two junctions this is the sweep of the paper's Fig. 3(b) and (c).
    """
    if not junctions:
        if edges == 0:
            yield ()
        return
    (n_out, n_in), rest = junctions[0], junctions[1:]
    step = fan_out_step(n_out, n_in)
    least = sum(m * fan_out_step(n, m) for n, m in rest)
    most = sum(n * m for n, m in rest)
    for fan_out in range(step, n_out + 1, step):
        left = edges - n_in * fan_out
        if least <= left <= most:
            yield from ((fan_out, *others) for others in fan_out_settings(rest, left))


def nearest_edges(junctions: Sequence[Junction], edges: int) -> tuple[int, ...]:
    """The numbers of edges next to `edges`, below and above, that whole fan-outs of all `junctions` can have.

    >>> nearest_edges([(4, 6), (2, 4)], 15)
    (16,)
    """
    steps = [(n_in * fan_out_step(n_out, n_in), n_out // fan_out_step(n_out, n_in)) for n_out, n_in in junctions]
    unit = gcd(*(step for step, _ in steps))
    reached = 1  # bit i: i units of edges
    for step, most in steps:
        reached = reduce(operator.or_, (reached << number * step // unit for number in range(1, most + 1)))
    here = edges // unit
    below = (reached & ((1 << here + 1) - 1)).bit_length() - 1
    above = reached >> here + 1
    found = (below, here + (above & -above).bit_length() if above else -1)
    return tuple(number * unit for number in found if number >= 0)


def _require_sizes(n_out: int, n_in: int) -> None:
    if n_out < 1 or n_in < 1:
        raise UsageError(f"a junction of {n_in} x {n_out} neurons; both numbers must be at least 1")
