from dataclasses import asdict, replace
from pathlib import Path

import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.experiments.trials.grid import TrialResults, run_grid
from n2nsurgery.experiments.trials.job import Finished
from n2nsurgery.experiments.trials.trial import TrialResult

RESULT = TrialResult(
    name="a",
    recipe="0" * 64,
    seed=0,
    train=(0.5, 0.75),
    validation=(None, None),
    test=(None, 0.5),
    weights=100,
    nonzeros=10,
    skip_nonzeros=0,
    macs=1000,
    flops=2000,
    seconds=1.5,
    device="cpu",
    warnings=(),
)


class NamedTrial:
    def __init__(self, point, seed):
        self.key = f"{point}-s{seed}"


def run(points, seeds, results, failures=None):
    order = []

    def run_jobs(jobs):
        order.extend(job.key for job in jobs)
        return Finished(documents={key: asdict(result) for key, result in results.items()}, failures=failures or {})

    return run_grid(points, seeds, NamedTrial, Path("folder"), run_jobs), order


def test_each_distinct_point_is_run_once_with_every_seed_and_seeds_come_first():
    _, order = run(["a", "b", "a"], [3, 4], {})
    assert order == ["a-s3", "b-s3", "a-s4", "b-s4"]


def test_results_are_found_by_point_and_seed():
    found, _ = run(["a", "b"], [0, 1], {"a-s0": RESULT, "b-s1": replace(RESULT, seed=1)})
    assert found.points == {"a": {0: RESULT}, "b": {1: replace(RESULT, seed=1)}}
    assert found.runs("c") == {}


def test_a_trial_that_failed_is_named_with_its_reason():
    found, _ = run(["a", "b"], [0], {"a-s0": RESULT}, {"b-s0": "no space"})
    assert found.failures == ("b-s0: no space",)
    assert found.remarks == ("Trained on: cpu.", "Failed, and left out: b-s0: no space")


def test_accuracies_are_percent_of_the_last_epoch():
    found = TrialResults(points={"a": {0: RESULT, 1: replace(RESULT, test=(0.25, 0.75))}})
    assert found.accuracies("a") == {0: 50.0, 1: 75.0}
    assert found.stats("a").mean == 62.5
    assert [stats.values for stats in found.by_epoch("a")] == [(25.0,), (50.0, 75.0)]
    assert found.best_until("a", 2) == {0: 50.0, 1: 75.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ()}, "'folder/a-s0.json' holds no epoch; remove the file to train that trial again"),
        ({"macs": "many"}, "'folder/a-s0.json'.macs is 'many'; int is needed; remove the file"),
    ],
)
def test_a_damaged_result_is_named_with_what_to_do(change, message):
    with pytest.raises(InvalidFileError, match=message):
        run(["a"], [0], {"a-s0": replace(RESULT, **change)})
