"""Metric `scree`: how soon diffusion depends on the slowest modes only.

    alpha(K, t) = sum_{k=2}^{K+1} e^{-t lambda_k} / sum_{k=2}^{n} e^{-t lambda_k}      (N2NSkip paper, Eq. 7)

for K percent of the eigenvalues, over multiples of the reference's t* (see `heat-distance`). Curves that lie on the
reference's mean similar connectivity, earlier saturation at 1 means better connectivity, unless it is due to
additional components: their zero eigenvalues count, and `giant` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.heat.scree_curves import scree_curves
from n2nsurgery.connectivity.measures.measurement import Curve, Measurement, Quantity, numbers
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class ScreeOfNetwork:
    """`percent`: the K of the curves. `giant`: only the largest component.

    `exact_to`: nodes up to which all eigenvalues are computed, which for 6000 of them takes a quarter of a minute.
    """

    percent: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0)
    giant: bool = False
    exact_to: int = 2000
    residual: float = 1e-3
    points: int = 61

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """The curves of this network and of the reference, their largest distance and standard error."""
        multiples = np.geomspace(1e-3, 1e3, self.points)
        times = multiples * reference.heat.saturation_time(self.residual)
        mine, theirs = (
            scree_curves(each.spectrum(self.exact_to, giant=self.giant), self.percent, times)
            for each in (subject, reference)
        )
        error = float(max(mine.standard_error.max(), theirs.standard_error.max()))
        named = {
            "distance": (
                float(np.abs(mine.alpha - theirs.alpha).max()),
                "Largest distance from the reference's curves",
            ),
            "standard_error": (error, "Largest standard error of a point of the curves; 0 where they are exact"),
        }
        lines = {f"{share:g} %": numbers(alpha) for share, alpha in zip(self.percent, mine.alpha, strict=True)}
        lines |= {
            f"{share:g} %, reference": numbers(alpha) for share, alpha in zip(self.percent, theirs.alpha, strict=True)
        }
        return Measurement(
            quantities={n: Quantity(value=value, unit="", meaning=m) for n, (value, m) in named.items()},
            curves={
                "alpha": Curve(
                    x=tuple(multiples.tolist()),
                    x_unit="t*",
                    lines=lines,
                    meaning="Share of the slowest modes in diffusion",
                )
            },
        )


MEMBER = ScreeOfNetwork
