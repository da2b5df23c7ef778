"""Heat: a solved heat flow S(t) = exp(-t L) A, to be evaluated at any time (N2NSkip paper, Eqs. 4-5).

A is 1 on the source nodes and 0 elsewhere; S_i(t) is the heat in node i. Heat is conserved in every component, never
leaves [0, 1], and settles at S(inf), the mean of A over each component.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from n2nsurgery.connectivity.heat.components import GraphComponents
from n2nsurgery.connectivity.heat.laplacian import Vector
from n2nsurgery.connectivity.heat.modes import Modes


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """A solved heat flow; evaluating it costs no further mat-vec.

    `initial` is A, `saturated` S(inf), `amplitude` |A - S(inf)|. `modes` are those for times up to `switch`,
    `slow_modes` those beyond it (None: the same); no modes where A is saturated from the start. `error_bound` holds
    for the 2-norm of the error at every time up to `until`.
    """

    parts: GraphComponents
    initial: Vector
    saturated: Vector
    amplitude: float
    modes: Modes | None = None
    slow_modes: Modes | None = None
    switch: float = inf
    error_bound: float = 0.0
    until: float = inf

    def at(self, times: Vector) -> NDArray[np.float64]:
        """S(t), (len(times), n); t = inf is allowed, and exact."""
        signature = np.tile(self.saturated, (len(times), 1))
        for modes, now in self._pieces(times):
            signature[now] += self.amplitude * modes.at(times[now])
        return signature

    def residual(self, times: Vector) -> Vector:
        """|S(t) - S(inf)| / |S(0) - S(inf)|, from 1 at t = 0 down to 0; 0 throughout where no heat flows."""
        residual = np.zeros(len(times))
        for modes, now in self._pieces(times):
            residual[now] = modes.norm(times[now])
        return residual

    @property
    def theta_1(self) -> float:
        """The smallest eigenvalue of L that the sources excite: the rate at which the last heat settles.

        Not lambda_2, the smallest one that there is. inf where no heat flows.
        """
        modes = self.slow_modes or self.modes
        return float(modes.rates[0]) if modes else inf

    def saturation_time(self, residual: float) -> float:
        """The time at which `self.residual` has fallen to `residual` (in (0, 1)); 0 where no heat flows."""
        if self.modes is None:
            return 0.0

        def excess(log_time: float) -> float:
            return float(np.log(self.residual(np.exp([log_time]))[0])) - log(residual)

        # exp(-theta_max t) <= residual(t) <= exp(-theta_1 t); the margins outlast the rounding of a single mode
        first = log(-log(residual) / self.modes.rates[-1]) - 1e-6
        last = log(-log(residual) / self.theta_1) + 1e-6
        return float(np.exp(brentq(excess, first, last, xtol=1e-13)))

    def time_grid(self, count: int, residual: float) -> Vector:
        """`count` times for a plot: 0, then geometrically from the fastest mode to saturation within `residual`."""
        if self.modes is None:
            return np.zeros(1)
        first, last = 0.1 / self.modes.rates[-1], log(1 / residual) / self.theta_1
        return np.concatenate([[0.0], np.geomspace(first, last, count - 1)])

    def _pieces(self, times: Vector) -> list[tuple[Modes, NDArray[np.bool_]]]:
        """The modes to use, and for which of the times."""
        late = times > self.switch
        pieces = [(self.modes, ~late), (self.slow_modes, late)]
        return [(modes, now) for modes, now in pieces if modes is not None and now.any()]
