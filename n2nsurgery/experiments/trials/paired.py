"""Comparisons with their uncertainty: means over seeds, differences seed by seed, rank correlation.

Two methods that share a seed share data, order of batches and initial weights, so their difference varies less than
either. With n differences of mean m and standard deviation s (n - 1 in its denominator):

    standard error   s / sqrt(n)
    95 % interval    m +- t_{0.975, n-1} s / sqrt(n)                                  (Student 1908)
    95 % interval of a rank correlation r of n pairs
                     tanh(artanh(r) +- 1.96 sqrt(1.06 / (n - 3)))                     (Fieller, Hartley, Pearson 1957)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from n2nsurgery.experiments.paper.reproduction import Outcome

USEFUL = 0.5  # the least rank correlation that deserves to be called a prediction
_CONFIDENCE = 0.95
_FEWEST_RANKED = 4


@dataclass(frozen=True, kw_only=True)
class SampleStats:
    """`values` of one quantity, one for each seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean; NaN where there is none."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def deviation(self) -> float | None:
        """Their standard deviation, None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def error(self) -> float | None:
        """The standard error of the mean, None for fewer than two."""
        deviation = self.deviation
        return None if deviation is None else deviation / math.sqrt(len(self.values))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean by Student's t, None for fewer than two."""
        error = self.error
        if error is None:
            return None
        reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(self.values) - 1)) * error
        return self.mean - reach, self.mean + reach

    @property
    def outcome(self) -> Outcome:
        """Whether the mean is above zero: `undecided` where zero lies in its interval, or there is none."""
        interval = self.interval
        if interval is None or interval[0] <= 0 <= interval[1]:
            return "undecided"
        return "reproduced" if interval[0] > 0 else "refuted"

    def not_below(self, margin: float) -> Outcome:
        """Whether the mean is above -`margin`, so that what is less than that is called level."""
        interval = self.interval
        if interval is None or interval[0] <= -margin <= interval[1]:
            return "undecided"
        return "reproduced" if interval[0] > -margin else "refuted"

    def text(self, digits: int = 2) -> str:
        """`47.1 ± 0.6`, without the deviation where there is none."""
        if not self.values:
            return "no run"
        deviation = self.deviation
        return f"{self.mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")

    def signed(self) -> str:
        """`+4.1 [+1.6, +6.6]`: the mean and its interval."""
        if not self.values:
            return "no run"
        interval = self.interval
        reach = "" if interval is None else f" [{interval[0]:+.2f}, {interval[1]:+.2f}]"
        return f"{self.mean:+.2f}{reach}"


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> SampleStats:
    """`one` minus `other` for every seed that both have, in the seeds' order; accuracies give points of percent."""
    return SampleStats(values=tuple(one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())))


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """What becomes of a statement that holds only if all its parts do."""
    if not outcomes:
        return "undecided"
    if "refuted" in outcomes:
        return "refuted"
    return "reproduced" if set(outcomes) == {"reproduced"} else "undecided"


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's `rho` of `pairs` pairs, the chance `p` of one so large without any relation, and its interval."""

    rho: float
    p: float
    pairs: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        if abs(self.rho) >= 1:
            return self.rho, self.rho
        reach = float(stats.norm.ppf((1 + _CONFIDENCE) / 2)) * math.sqrt(1.06 / (self.pairs - 3))
        return math.tanh(math.atanh(self.rho) - reach), math.tanh(math.atanh(self.rho) + reach)

    @property
    def useful(self) -> Outcome:
        """Whether one of the two predicts the other: `undecided` where USEFUL lies in the interval."""
        low, high = self.interval
        return "reproduced" if low >= USEFUL else "refuted" if high < USEFUL else "undecided"

    def text(self) -> str:
        """`0.62 [0.49, 0.72], p = 1e-12, 108 pairs`."""
        low, high = self.interval
        return f"{self.rho:.2f} [{low:.2f}, {high:.2f}], p = {self.p:.1g}, {self.pairs} pairs"


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> RankCorrelation | None:
    """Spearman's rank correlation; None for fewer than four pairs, or where either never varies."""
    if len(x) < _FEWEST_RANKED or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    found = stats.spearmanr(x, y)
    return RankCorrelation(rho=float(found.statistic), p=float(found.pvalue), pairs=len(x))
