"""Where the heat is when: for each layer and time, how its mean heat compares with what it will have in the end.

    warmth(g, t) = (S_g(t) - S_g(inf)) / (S_g(t) + S_g(inf)),    S_g the mean of S over the channels of group g

-1: no heat has arrived (or ever will), 0: settled, towards 1: far more than its final share, as in the input at first.
(S of the N2NSkip paper, Eqs. 4-5.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from n2nsurgery.connectivity.heat.laplacian import Vector
from n2nsurgery.connectivity.measures.measurement import Number
from n2nsurgery.connectivity.measures.subject import Subject

DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Warmth:
    """`values[g][k]`, in [-1, 1], of group g at time x[k], in multiples of `x_unit`; `reference` alike, or empty."""

    groups: tuple[str, ...]
    x: tuple[float, ...]
    x_unit: str
    values: tuple[tuple[Number, ...], ...]
    reference: tuple[tuple[Number, ...], ...]
    meaning: str = "Mean heat of a layer against its final heat: -1 none, 0 settled, towards 1 much more"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def warmth(subject: Subject, reference: Subject, multiples: Vector, star: float) -> Warmth:
    """Both networks' warmth at the times `multiples` * `star`."""
    return Warmth(
        groups=tuple(group.name for group in subject.graph.groups if group.stop > group.start),
        x=tuple(multiples.tolist()),
        x_unit="t*",
        values=_of(subject, multiples * star),
        reference=_of(reference, multiples * star),
    )


def _of(subject: Subject, times: Vector) -> tuple[tuple[Number, ...], ...]:
    starts = np.array([group.start for group in subject.graph.groups if group.stop > group.start])
    sizes = np.diff([*starts, subject.graph.nodes])
    heat = subject.heat

    def means(signature: Vector) -> Vector:
        found: Vector = np.clip(np.add.reduceat(signature, starts) / sizes, 0, None)
        return found

    final = means(heat.saturated)
    now = np.stack([means(heat.at(time[None])[0]) for time in times], axis=1)  # one by one: large graphs
    both = now + final[:, None]
    values = np.where(both > 0, (now - final[:, None]) / np.where(both > 0, both, 1), -1.0)
    return tuple(tuple(row) for row in np.round(values, DIGITS).tolist())
