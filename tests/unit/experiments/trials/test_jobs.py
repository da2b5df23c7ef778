from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from n2nsurgery.core.errors import InterruptionError, InvalidFileError, RunError, UnknownNameError, UsageError
from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.experiments.predefined.networks import MORSE
from n2nsurgery.experiments.predefined.patterns import Pattern, PatternRun
from n2nsurgery.experiments.predefined.runs import SGD, Junctions
from n2nsurgery.experiments.trials.job import WorkerSlot
from n2nsurgery.experiments.trials.jobs import run_all, worker_slots
from n2nsurgery.experiments.trials.results import results_of

HERE = (WorkerSlot(device="cpu"),)


@dataclass
class Counted:
    """A job that counts how often it is done, and fails as it is told."""

    key: str
    error: Exception | None = None
    calls: list = field(default_factory=list)

    def run(self, folder, device, progress):  # noqa: ARG002 - as jobs are called
        self.calls.append(device)
        progress("half", 0.5)
        if self.error is not None:
            raise self.error
        return {"key": self.key}


def silent(_stage, _done):
    pass


def test_what_is_finished_is_not_done_again(tmp_path):
    first = [Counted("a"), Counted("b", InterruptionError("stopped")), Counted("c")]
    with pytest.raises(InterruptionError, match="stopped; what is finished is kept"):
        run_all(first, tmp_path, HERE, silent)
    assert [len(job.calls) for job in first] == [1, 1, 0]
    second = [Counted("a"), Counted("b"), Counted("c")]
    found = run_all(second, tmp_path, HERE, silent)
    assert [len(job.calls) for job in second] == [0, 1, 1]
    assert list(found.documents) == ["a", "b", "c"]


def test_a_job_that_fails_is_noted_and_the_others_go_on(tmp_path):
    jobs = [Counted("a", RunError("not finite")), Counted("b")]
    found = run_all(jobs, tmp_path, HERE, silent)
    assert (dict(found.failures), list(found.documents)) == ({"a": "not finite"}, ["b"])
    assert not (tmp_path / "a.json").exists()  # it is tried again the next time


def test_a_failure_of_all_jobs_and_a_mistake_of_the_caller_end_the_series(tmp_path):
    with pytest.raises(RunError, match="no space"):
        run_all([Counted("a", RunError("no space"))], tmp_path, HERE, silent)
    with pytest.raises(RunError, match="all 2 trainings failed; 'a': no space"):
        run_all([Counted("a", RunError("no space")), Counted("c", RunError("late"))], tmp_path, HERE, silent)
    jobs = [Counted("b", UsageError("no data")), Counted("c")]
    with pytest.raises(UsageError, match="no data"):
        run_all(jobs, tmp_path, HERE, silent)
    assert jobs[1].calls == []


def test_equal_jobs_are_done_once(tmp_path):
    jobs = [Counted("a"), Counted("a")]
    run_all(jobs, tmp_path, HERE, silent)
    assert sum(len(job.calls) for job in jobs) == 1


def test_progress_rises_over_all_jobs(tmp_path):
    seen = []
    run_all([Counted("a"), Counted("b")], tmp_path, HERE, lambda stage, done: seen.append((stage, done)))
    assert seen == [("1 of 2: a, half", 0.25), ("2 of 2: b, half", 0.75)]


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidFileError, match=r"a\.json' is not a result"):
        run_all([Counted("a")], tmp_path, HERE, silent)


def test_jobs_chosen_by_name_are_done_and_handed_back_with_what_is_finished(tmp_path):
    def jobs():
        return [Counted(f"{name}-s{seed}-{seed}a5e") for seed in (0, 1) for name in ("fo-1-8", "fo-8-1", "dense")]

    config = ExperimentConfig(folder=tmp_path, device="cpu", only=("fo-8-1-s*", "*-s0"))
    with pytest.raises(UnknownNameError, match=r"unknown training pattern 'dens-s0'; did you mean 'dense-s0'\?"):
        results_of(jobs(), tmp_path, replace(config, only=("*", "dens-s0")))
    assert not list(tmp_path.iterdir())  # the mistake is found before anything is done
    some = jobs()
    found = results_of(some, tmp_path, config)
    assert [len(job.calls) for job in some] == [1, 1, 1, 0, 1, 0]
    assert list(found.documents) == [job.key for job in some if job.calls]
    more = [*jobs(), Counted("odd-s1-7", RunError("not finite"))]
    found = results_of(more, tmp_path, replace(config, only=("dense-s1", "odd-*")))
    assert [len(job.calls) for job in more] == [0, 0, 0, 0, 0, 1, 1]
    assert (len(found.documents), dict(found.failures)) == (5, {"odd-s1-7": "not finite"})


def test_workers_on_the_cpu_share_its_cores():
    assert worker_slots("cpu") == (WorkerSlot(device="cpu"),)
    shared = worker_slots("cpu", 3)
    assert len(shared) == 3
    assert all(slot.threads >= 1 for slot in shared)
    with pytest.raises(UsageError, match="--workers is 0"):
        worker_slots("cpu", 0)


def pattern_runs(count: int) -> list[PatternRun]:
    options = DATA_SETS.get("morse")(train_per_class=4, validation_per_class=1, test_per_class=1)
    data = DataConfig(name="morse", options=options)
    subject = Junctions(network=MORSE, model="morse", layers=("0", "2"), data=data, train=SGD)
    return [
        PatternRun(
            junctions=subject,
            pattern=Pattern(kind="fixed fan", strengths=(), seed=seed),
            fan_outs=(128, 8),
            shape=(64,),
            seed=0,
        )
        for seed in range(count)
    ]


@pytest.mark.slow
def test_processes_give_what_one_process_gives(tmp_path):
    # One thread everywhere: sums of another number of threads may differ in their last bits.
    jobs = pattern_runs(3)
    one, two = (WorkerSlot(device="cpu", threads=1),), (WorkerSlot(device="cpu", threads=1),) * 2
    together = run_all(jobs, tmp_path / "two", two, silent)
    assert not together.failures
    assert dict(together.documents) == dict(run_all(jobs, tmp_path / "one", one, silent).documents)
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / "two").glob("*.json")}
    assert kept == {f"{key}.json": document for key, document in together.documents.items()}
