"""Grids of trials: every point of a grid is trained with every seed, and the results are read back by point."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from n2nsurgery.experiments.trials.job import Finished, Job
from n2nsurgery.experiments.trials.paired import SampleStats
from n2nsurgery.experiments.trials.trial import Trial, TrialResult

Point = TypeVar("Point", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class TrialResults(Generic[Point]):
    """Results by point, then by seed; `failures` names the trials that have none, and says why."""

    points: Mapping[Point, Mapping[int, TrialResult]]
    failures: tuple[str, ...] = ()

    def runs(self, point: Point) -> Mapping[int, TrialResult]:
        """The results of one point by seed; empty where there is none."""
        return self.points.get(point, {})

    def accuracies(self, point: Point) -> dict[int, float]:
        """Test accuracy after the last epoch by seed, in percent."""
        return {seed: run.accuracy for seed, run in self.runs(point).items()}

    def stats(self, point: Point) -> SampleStats:
        """The accuracies of all seeds as one sample, in percent."""
        return SampleStats(values=tuple(self.accuracies(point).values()))

    def by_epoch(self, point: Point) -> list[SampleStats]:
        """Test accuracy in percent after each epoch that was evaluated."""
        epochs = zip(*(run.test for run in self.runs(point).values()), strict=True)
        return [SampleStats(values=tuple(100 * top1 for top1 in tops if top1 is not None)) for tops in epochs]

    def best_until(self, point: Point, epoch: int) -> dict[int, float]:
        """The best test accuracy of the epochs 1 to `epoch` by seed, in percent."""
        return {
            seed: 100 * max(top1 for top1 in run.test[:epoch] if top1 is not None)
            for seed, run in self.runs(point).items()
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        """The devices that it was trained on, and the trials that failed."""
        devices = sorted({run.device for runs in self.points.values() for run in runs.values()})
        return (f"Trained on: {', '.join(devices)}.", *(f"Failed, and left out: {line}" for line in self.failures))

    def to_json(self) -> dict[str, Any]:
        """Every run with all its numbers."""
        return {"cells": [asdict(run) for runs in self.points.values() for run in runs.values()]}


def run_grid(
    points: Iterable[Point],
    seeds: Sequence[int],
    trial: Callable[[Point, int], Trial],
    folder: Path,
    run_jobs: Callable[[Sequence[Job]], Finished],
) -> TrialResults[Point]:
    """Run `trial(point, seed)` for every point and seed; each distinct point once.

    Seeds come before points, so that what is there when it is stopped can be compared. `run_jobs` runs the trials in
    that order, or looks up their results, in `folder`; its errors are passed on.
    """
    distinct = tuple(dict.fromkeys(points))
    trials = {(seed, point): trial(point, seed) for seed in seeds for point in distinct}
    finished = run_jobs(list(trials.values()))
    found: dict[Point, dict[int, TrialResult]] = {}
    for (seed, point), one in trials.items():
        if (document := finished.documents.get(one.key)) is not None:
            found.setdefault(point, {})[seed] = TrialResult.from_json(document, f"'{folder / one.key}.json'")
    return TrialResults(points=found, failures=tuple(f"{key}: {why}" for key, why in finished.failures.items()))
