"""Tables and verdicts over the grid of the N2NSkip paper: accuracies beside the printed ones, differences by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from n2nsurgery.experiments.n2nskip.grid import GridResults, NetworkUnderStudy
from n2nsurgery.experiments.n2nskip.methods import DENSE
from n2nsurgery.experiments.n2nskip.paper_networks import printed
from n2nsurgery.experiments.paper.reproduction import Outcome, Scale, Table, TableCell, Verdict
from n2nsurgery.experiments.trials.paired import SampleStats, paired, together

Comparison = tuple[str, str]
"""A method, and the one that it is compared with."""


def accuracy_table(
    results: GridResults, subject: NetworkUnderStudy, methods: Sequence[str], heading: str = ""
) -> Table:
    """A row for the dense network, and for every density and method of a subject that was asked for."""
    rows = [_row(results, subject, DENSE, 1.0)] if results.runs(subject.at(DENSE, 1.0)) else []
    rows += [
        _row(results, subject, method, density)
        for density in subject.densities
        for method in methods
        if results.runs(subject.at(method, density)) or method in subject.methods
    ]
    return Table(
        title=f"{heading}{subject.title}",
        columns=(
            "density, %", "method", "test accuracy, %", "paper, %", "runs", "non-zeros", "of them in skips",
            "MACs, M", "FLOPs dense, M", "seconds at best",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _row(results: GridResults, subject: NetworkUnderStudy, method: str, density: float) -> tuple[TableCell, ...]:
    runs = list(results.runs(subject.at(method, density)).values())
    paper = printed(subject.network, subject.dataset, method, density)
    measured: tuple[TableCell, ...] = (None,) * 5
    if runs:
        measured = (
            _same([run.nonzeros for run in runs]),
            _same([run.skip_nonzeros for run in runs]),
            mean(run.macs for run in runs) / 1e6,
            mean(run.flops for run in runs) / 1e6,
            min(run.seconds for run in runs),
        )
    return (
        f"{100 * density:g}",
        method,
        results.stats(subject.at(method, density)).text(),
        None if paper is None else f"{paper[0]:.2f} ± {paper[1]:.2f}",
        len(runs),
        *measured,
    )


def _same(counts: Sequence[int]) -> TableCell:
    """The one count of all runs, or what they lie between."""
    return counts[0] if len(set(counts)) == 1 else f"{min(counts):,} to {max(counts):,}"


def accuracy_difference(
    results: GridResults, subject: NetworkUnderStudy, comparison: Comparison, density: float
) -> SampleStats:
    """Test accuracy of one method minus the other's, seed by seed, in points of percent."""
    return SampleStats(values=tuple(_gains(results, subject, comparison, density).values()))


def _gains(
    results: GridResults, subject: NetworkUnderStudy, comparison: Comparison, density: float
) -> dict[int, float]:
    """The same by seed."""
    one, other = (results.accuracies(subject.at(method, _density(method, density))) for method in comparison)
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def _density(method: str, density: float) -> float:
    return 1.0 if method == DENSE else density


def paired_table(
    results: GridResults, subjects: Sequence[NetworkUnderStudy], comparisons: Sequence[Comparison]
) -> Table:
    """The differences of all comparisons at all densities of all subjects that have both methods."""
    rows = [
        _paired_row(results, subject, comparison, density)
        for subject in subjects
        for comparison in comparisons
        for density in subject.densities
        if accuracy_difference(results, subject, comparison, density).values
    ]
    return Table(
        title="Differences seed by seed, points of percent",
        columns=(
            "network", "difference", "density, %", "mean", "standard error", "least", "95 % interval", "seeds", "paper",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _paired_row(
    results: GridResults, subject: NetworkUnderStudy, comparison: Comparison, density: float
) -> tuple[TableCell, ...]:
    found = accuracy_difference(results, subject, comparison, density)
    interval = found.interval
    return (
        subject.title,
        " minus ".join(comparison),
        f"{100 * density:g}",
        f"{found.mean:+.2f}",
        None if found.error is None else f"{found.error:.2f}",
        f"{min(found.values):+.2f}",
        None if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
        len(found.values),
        _printed_difference(subject, comparison, density),
    )


def _printed_difference(subject: NetworkUnderStudy, comparison: Comparison, density: float) -> TableCell:
    one, other = (printed(subject.network, subject.dataset, m, _density(m, density)) for m in comparison)
    return None if one is None or other is None else f"{one[0] - other[0]:+.2f}"


def better(  # noqa: PLR0913 - the last two are seldom asked for
    results: GridResults,
    subject: NetworkUnderStudy,
    comparison: Comparison,
    scale: Scale,
    claim: str = "",
    *,
    margin: float = 0.0,
) -> Verdict:
    """The statement that the first method is more accurate than the second, at every density of the subject.

    `margin`: by how many points of percent at least.
    """
    spreads = {density: accuracy_difference(results, subject, comparison, density) for density in subject.densities}
    more = f"{margin:g} points or more above" if margin else "more accurate than"
    statement = claim or f"{comparison[0]} is {more} {comparison[1]}"
    return Verdict(
        statement=f"{statement}: {subject.title}",
        outcome=at_scale(together([stats.not_below(-margin) for stats in spreads.values()]), scale),
        evidence=by_density(spreads),
    )


def grows(results: GridResults, subject: NetworkUnderStudy, comparison: Comparison, scale: Scale) -> Verdict:
    """The statement that the gain is larger at each lower density than at the highest one."""
    gains = {density: _gains(results, subject, comparison, density) for density in subject.densities}
    highest, *lower = subject.densities
    spreads = {density: paired(gains[density], gains[highest]) for density in lower}
    return Verdict(
        statement=f"the gain of {comparison[0]} over {comparison[1]} is larger at lower densities: {subject.title}",
        outcome=at_scale(together([stats.outcome for stats in spreads.values()]), scale),
        evidence=f"gain minus the one at {100 * highest:g} %: {by_density(spreads)}",
    )


def by_density(spreads: dict[float, SampleStats]) -> str:
    """`10 %: +4.1 [+1.6, +6.6] points, 3 seeds; 5 %: no run`."""
    return "; ".join(f"{100 * density:g} %: {_points(stats)}" for density, stats in spreads.items())


def _points(stats: SampleStats) -> str:
    seeds = len(stats.values)
    return f"{stats.signed()} points, {seeds} {'seed' if seeds == 1 else 'seeds'}" if seeds else stats.signed()


def at_scale(outcome: Outcome, scale: Scale) -> Outcome:
    """`outcome`, unless nothing real was trained."""
    return "needs full scale" if scale == "smoke" else outcome


def printed_values(subjects: Sequence[NetworkUnderStudy], results: GridResults, scale: Scale) -> Verdict:
    """The statement that the accuracies are those printed; only the paper's own networks can tell."""
    rows = list(_beside_print(subjects, results)) if scale == "paper" else []
    missed = [line for line, inside in rows if not inside]
    outcome: Outcome = "needs full scale" if not rows else "refuted" if missed else "reproduced"
    return Verdict(
        statement="the accuracies that are printed",
        outcome=outcome,
        evidence=f"{len(rows) - len(missed)} of {len(rows)} within two deviations; " + ("; ".join(missed) or "all")
        if rows
        else "the paper's networks were not trained here: --scale paper does it",
    )


def _beside_print(subjects: Sequence[NetworkUnderStudy], results: GridResults) -> Iterator[tuple[str, bool]]:
    """Every printed cell that was trained, and whether the mean lies within two deviations (theirs and ours) of it."""
    for point, runs in results.points.items():
        paper = printed(point.subject.network, point.subject.dataset, point.method, point.density)
        if paper is None or point.subject not in subjects:
            continue
        found = SampleStats(values=tuple(run.accuracy for run in runs.values()))
        reach = 2 * (paper[1] ** 2 + (found.deviation or 0.0) ** 2) ** 0.5
        line = f"{point.subject.title} {point.method} {100 * point.density:g} %: {found.text()} ({paper[0]:.2f})"
        yield line, abs(found.mean - paper[0]) <= reach
