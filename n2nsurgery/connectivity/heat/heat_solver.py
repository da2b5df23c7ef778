"""A heat flow from one Lanczos run, with a rigorous bound of its error at all times.

With v = A - S(inf) and the Lanczos factorisation L Q = Q T + beta_m q_{m+1} e_m' from v,

    S(t) = S(inf) + |v| Q exp(-t T) e_1.

This satisfies dS/dt = -L S up to the residual |v| beta_m |e_m' exp(-t T) e_1|, hence, be Q orthogonal or not,

    |error(t)| <= |v| beta_m int_0^t |e_m' exp(-s T) e_1| ds.

T is a Jacobi matrix: the integrand never changes its sign, so the integral is the sum of its eigenmodes' integrals,
and to infinity it is |e_m' T^-1 e_1|. With the pivots d_1 = alpha_1, d_{k+1} = alpha_{k+1} - beta_k^2 / d_k the error
at ALL times is thus at most

    |v| prod_{k=1..m} beta_k / d_k

(the residual norm of conjugate gradients for L x = v), which costs one multiplication a step. Where only short times
are asked for, the integral to the last of them may be smaller: it is looked at too, at geometrically growing m.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite, log

import numpy as np

from n2nsurgery.connectivity.heat.components import GraphComponents, components
from n2nsurgery.connectivity.heat.heat import Heat
from n2nsurgery.connectivity.heat.lanczos import Krylov, lanczos
from n2nsurgery.connectivity.heat.laplacian import Laplacian, Vector
from n2nsurgery.connectivity.heat.modes import Modes
from n2nsurgery.connectivity.heat.rational import factorable, inverse_modes
from n2nsurgery.core.errors import RunError

TOLERANCE = 1e-11
PLAIN_STEPS = 600
"""Steps without reorthogonalisation, which differs by 1e-13 at most; whoever needs more starts anew."""
MEMORY = 2**30
"""Bytes that a reorthogonalised basis may take."""


def solve_heat(
    operator: Laplacian,
    initial: Vector,
    *,
    parts: GraphComponents | None = None,
    until: float = inf,
    tolerance: float = TOLERANCE,
) -> Heat:
    """The heat flow from `initial` (A, length n) on the graph of `operator`, for all times up to `until`.

    Its error is at most `tolerance` in the 2-norm at each of them. Raises RunError where that takes more steps than
    memory holds.
    """
    parts = components(operator) if parts is None else parts
    saturated = parts.means(initial)
    start = initial - saturated
    amplitude = float(np.linalg.norm(start))
    heat = Heat(parts=parts, initial=initial, saturated=saturated, amplitude=amplitude, until=until)
    if amplitude <= 1e-14 * np.linalg.norm(initial):  # nothing but rounding would flow
        return replace(heat, amplitude=0.0)
    for solve in (_plain, _inverted, _reorthogonalised):
        heat = solve(operator, heat, tolerance)
        if heat.error_bound <= tolerance:
            return heat
    raise RunError(
        f"the heat signature is known to {heat.error_bound:.2g} only, not to {tolerance:.2g}, after as many Lanczos"
        " steps as memory holds; ask for a larger tolerance or for shorter times"
    )


def _plain(operator: Laplacian, heat: Heat, tolerance: float) -> Heat:
    """Lanczos without reorthogonalisation."""
    bound = _Bound(amplitude=heat.amplitude, tolerance=tolerance, until=heat.until)
    start = heat.initial - heat.saturated
    basis = lanczos(operator, start, project=heat.parts.means, stop=bound, most=PLAIN_STEPS)
    return replace(heat, modes=Modes.of(basis), error_bound=bound.value)


def _inverted(operator: Laplacian, heat: Heat, tolerance: float) -> Heat:
    """The modes of `heat` as long as they are good enough, those of the inverse beyond; `heat` where none is to be had.

    How long is long enough, only the slowest mode tells, and it is found with the others: hence several rounds.
    """
    if heat.modes is None or heat.theta_1 <= 0 or not factorable(operator):
        return heat
    start, relative = heat.initial - heat.saturated, tolerance / heat.amplitude
    settled, horizon = _horizon(heat, tolerance), 0.0
    while settled > 1.1 * horizon:
        horizon = settled
        switch = _reach(heat.modes, heat.amplitude, tolerance, horizon)
        slow, change = inverse_modes(operator, start, heat.parts, times=(switch, horizon), tolerance=relative)
        found = replace(heat, slow_modes=slow, switch=switch, error_bound=change * heat.amplitude)
        settled = _horizon(found, tolerance)
    return found


def _horizon(heat: Heat, tolerance: float) -> float:
    """The time beyond which nothing is left to settle, or asked for."""
    return min(heat.until, log(heat.amplitude / tolerance) / heat.theta_1)


def _reorthogonalised(operator: Laplacian, heat: Heat, tolerance: float) -> Heat:
    """Lanczos with full reorthogonalisation, for as many steps as memory holds."""
    bound = _Bound(amplitude=heat.amplitude, tolerance=tolerance, until=heat.until)
    start, most = heat.initial - heat.saturated, min(operator.nodes, MEMORY // (8 * operator.nodes))
    basis = lanczos(operator, start, project=heat.parts.means, stop=bound, most=most, reorthogonalise=True)
    return replace(heat, modes=Modes.of(basis), slow_modes=None, switch=inf, error_bound=bound.value)


def _reach(modes: Modes, amplitude: float, tolerance: float, horizon: float) -> float:
    """The time up to which `modes` are good enough, to a fifth or so."""
    times = np.geomspace(min(horizon, 1 / modes.rates[-1]), horizon, 60)
    enough = [time for time in times if bound_until(modes, amplitude, time) <= tolerance]
    return float(max(enough, default=times[0]))


def bound_until(modes: Modes, amplitude: float, time: float) -> float:
    """The bound of |error| for all t <= time, with what rounding may add to it."""
    integrals = -np.expm1(-time * modes.rates) / modes.rates
    terms = modes.vectors[0] * modes.vectors[-1] * integrals
    rounding = np.finfo(float).eps * float(np.abs(modes.vectors[-1] * integrals).sum())
    return amplitude * modes.basis.betas[-1] * (abs(float(terms.sum())) + rounding)


@dataclass(kw_only=True, eq=False)
class _Bound:
    """Stops a Lanczos run where the error is at most `tolerance` at every time up to `until`; `value` is the bound."""

    amplitude: float
    tolerance: float
    until: float
    value: float = inf
    product: float = 1.0
    pivot: float = inf
    next_look: int = 8

    def __call__(self, basis: Krylov) -> bool:
        """Whether the run may stop after the newest step."""
        coupling = basis.betas[-2] ** 2 / self.pivot if basis.steps > 1 else 0.0
        self.pivot = basis.alphas[-1] - coupling
        # rounding may leave a pivot of the wrong sign where L is singular to working precision: no bound then
        self.product = self.product * basis.betas[-1] / self.pivot if self.pivot > 0 else inf
        self.value = self.amplitude * self.product if basis.betas[-1] > 0 else 0.0
        if isfinite(self.until) and basis.steps >= self.next_look:
            self.next_look = basis.steps * 7 // 5
            self.value = min(self.value, bound_until(Modes.of(basis), self.amplitude, self.until))
        return self.value <= self.tolerance
