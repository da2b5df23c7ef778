"""What limits the heat: how much sooner it would settle if one block's connections were stronger.

Heat has settled at the time t at which |v(t)|^2, v = S - S(inf), has fallen to a given share. Let the conductances of
block b be multiplied by 1 + e. By Duhamel's formula, with L_b the block's own Laplacian,

    d |v(t)|^2 / de = -2 int_0^t v(2t - s)' L_b v(s) ds,      d |v(t)|^2 / dt = -2 v(t)' L v(t),

so that the settling time shrinks by e times the block's share

    share(b) = int_0^t v(2t - s)' L_b v(s) ds / (t v(t)' L v(t)).

The shares of all blocks add up to 1 exactly, for stronger edges everywhere only rescale time. Late in the flow one
mode x is left and the share becomes x' L_b x / x' L x: the part of the slowest mode's tension that the block holds,
which is where a cut of few and weak edges lies (as in the Fiedler vector's sweep cut), but weighed by what the sources
really excite and at the time at which we say that heat has settled. A share may be slightly negative: feeding a dead
end costs time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph
from n2nsurgery.connectivity.heat.heat import Heat
from n2nsurgery.connectivity.heat.laplacian import Vector

SETTLED = 1e-3
"""Share of the heat that is still to settle when the report calls it settled."""
POINTS = 32
"""Gauss points in the logarithm of s; the shares add up to 1 within 1e-9 on every network tried."""
AT_ONCE = 8
"""Points that are evaluated together, which bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class BottleneckShares:
    """`shares` of the blocks in their order, which add up to 1, and of the groups in what still has to settle then.

    `stragglers`: in how many channels that rest waits, 1 / sum_i p_i^2 for the shares p_i of the channels.
    `total` is the sum of the shares before they were scaled to 1: its distance from 1 is the quadrature's error. No
    shares where no heat flows.
    """

    shares: tuple[float, ...]
    waiting: tuple[float, ...]
    stragglers: float
    total: float


def bottleneck_shares(graph: ChannelGraph, heat: Heat, time: float) -> BottleneckShares:
    """What limits the heat flow `heat` on `graph` up to the settling time `time` (> 0 where heat flows)."""
    if heat.modes is None:
        return BottleneckShares(shares=(), waiting=(), stragglers=0.0, total=1.0)
    knee = 0.1 / float(heat.modes.rates[-1])
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    span = np.log1p(time / knee)
    exponents = span * (points + 1) / 2
    moments, steps = knee * np.expm1(exponents), weights * span / 2 * knee * np.exp(exponents)
    found = np.zeros(len(graph.blocks))
    for first in range(0, POINTS, AT_ONCE):
        now = slice(first, first + AT_ONCE)
        early, late = (_unsettled(heat, at) for at in (moments[now], 2 * time - moments[now]))
        found += [steps[now] @ _tension(block, early, late) for block in graph.blocks]
    last = _unsettled(heat, np.array([time]))
    dissipation = time * sum(float(_tension(block, last, last)[0]) for block in graph.blocks)
    energy = last[:, 0] ** 2 / float(last[:, 0] @ last[:, 0])
    return BottleneckShares(
        shares=tuple((found / found.sum()).tolist()),
        waiting=tuple(float(energy[group.start : group.stop].sum()) for group in graph.groups),
        stragglers=1 / float(energy @ energy),
        total=float(found.sum() / dissipation),
    )


def _unsettled(heat: Heat, times: Vector) -> NDArray[np.float64]:
    """v(t) in columns, (n, len(times))."""
    return np.ascontiguousarray((heat.at(times) - heat.saturated).T)


def _tension(block: Block, one: NDArray[np.float64], other: NDArray[np.float64]) -> Vector:
    """The products one' L_b other, column by column."""
    weights, sources, targets = block.weights, block.sources, block.targets
    inflow = np.asarray(weights.sum(axis=1)).ravel()
    outflow = np.asarray(weights.sum(axis=0)).ravel()
    along: Vector = np.einsum("i,ij,ij->j", inflow, one[targets], other[targets])
    along += np.einsum("i,ij,ij->j", outflow, one[sources], other[sources])
    along -= np.einsum("ij,ij->j", one[targets], weights @ other[sources])
    along -= np.einsum("ij,ij->j", other[targets], weights @ one[sources])
    return along
