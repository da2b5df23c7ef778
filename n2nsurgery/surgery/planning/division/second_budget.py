"""The second budget: multiply-accumulates for one sample, beside the number of weights or in its place.

    sum over layers of kept_l u_l  +  sum over skips of kept_s u_s  <=  M sum over layers of n_l u_l

with the kept weights of each layer, the multiply-accumulates u of one weight (its output positions, over all calls),
the n_l weights of the dense layer and M = `macs`. Beside a density the number of weights is exact, and the bound is
kept as closely as the shares of `ByCost` allow: the weakest of them that keep it are taken, so an allocation that keeps
it by itself stays as it is. Without a density, weights are as many as keep it with the allocation as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.masks.counts.budgets import budget
from n2nsurgery.masks.counts.costs import STRONGEST
from n2nsurgery.masks.criterion import PatternCriterion
from n2nsurgery.surgery.planning.division.division import Divided, Division, divide

_SHOWN = Context(prec=4, rounding=ROUND_CEILING)  # rounded up, so that what a message names is possible


def divided(what: Divided) -> Division:
    """The division that the budgets ask for; raises BudgetError, with what is possible, where there is none."""
    density, macs = what.config.density, what.config.macs
    if macs is not None:
        _require_countable(what)
    if density is not None:
        asked = budget(what.graph.reference_weights, density=density, skip_ratio=what.ratio)
        return divide(asked, what) if macs is None else _within(macs, asked.total, what)
    return _by_junctions(what) if macs is None else _largest(macs, what)


def _by_junctions(what: Divided) -> Division:
    """What the junctions and the layers beside them keep, and the skips."""
    sequential = sum(what.junctions.get(weight.name, weight.numel) for weight in what.graph.weights)
    skips = round(sequential * what.ratio / (1 - what.ratio))
    return divide(what.skips_of(sequential + skips), what)


def _within(macs: float, total: int, what: Divided) -> Division:
    """`total` weights by the weakest shares whose multiply-accumulates keep the bound."""
    asked, weights, most = what.skips_of(total), what.graph.weights, _most(macs, what)
    plain = divide(asked, what)
    if plain.macs(weights) <= most:
        return plain
    least = divide(asked, what, STRONGEST).macs(weights)
    if least > most:
        lowest = Fraction(least, what.graph.macs)
        raise BudgetError(
            f"macs is {macs:g}: {total:,} weights take at least {_shown(lowest)} of the dense network's"
            f" multiply-accumulates here. Give macs from {_shown(lowest)} on, or a lower density"
        )
    power = _boundary(lambda power: divide(asked, what, power).macs(weights) <= most, STRONGEST, 0)
    return divide(asked, what, power)


def _largest(macs: float, what: Divided) -> Division:
    """The most weights whose multiply-accumulates keep the bound."""
    reference, most = what.graph.reference_weights, _most(macs, what)

    def attempt(total: int) -> Division | None:
        try:
            return divide(what.skips_of(total), what)
        except BudgetError:
            return None

    def fits(total: int) -> bool:
        made = attempt(total)
        return made is not None and made.macs(what.graph.weights) <= most

    if fits(reference):
        return divide(what.skips_of(reference), what)
    total = _boundary(fits, 0, reference)
    if total:
        return divide(what.skips_of(total), what)
    smallest = _boundary(lambda total: attempt(total) is not None, reference, 0)
    made = divide(what.skips_of(smallest), what)
    lowest = _shown(Fraction(made.macs(what.graph.weights), what.graph.macs))
    raise BudgetError(
        f"macs is {macs:g}: the fewest weights that layers and skips can keep here, {smallest:,}, take {lowest} of the"
        f" dense network's multiply-accumulates. Give macs from {lowest} on, fewer skips, or fewer layers kept dense"
    )


def _boundary(holds: Callable[[int], bool], inside: int, outside: int) -> int:
    """A number that holds, or `inside`, beside one towards `outside` that does not."""
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def _most(macs: float, what: Divided) -> int:
    return int(Fraction(str(macs)) * what.graph.macs)


def _shown(share: Fraction) -> Decimal:
    return _SHOWN.divide(Decimal(share.numerator), Decimal(share.denominator))


def _require_countable(what: Divided) -> None:
    """Raise UsageError where multiply-accumulates are not known before weights are chosen."""
    if not isinstance(what.criterion, PatternCriterion):
        raise UsageError(
            f"needs a criterion that draws patterns; the scores of '{what.config.criterion}' decide what layers keep:"
            " take random, fixed-fan, clash-free or expander",
            field="macs", joint=" ",
        )  # fmt: skip
    if not what.graph.macs:
        raise UsageError("needs the network's multiply-accumulates, and none could be counted", field="macs", joint=" ")
    if what.config.density is None and any(what.criterion.step(weight) > 1 for weight in what.graph.weights):
        raise UsageError(
            f"is given alone, and '{what.config.criterion}' keeps only certain numbers of weights: give a density, too",
            field="macs", joint=" ",
        )  # fmt: skip
