"""Every experiment that trains, at the scale that shows that it works; the numbers printed in the papers."""

from __future__ import annotations

import json
import os
import signal
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

import n2nsurgery
from n2nsurgery.core.errors import InterruptionError, InvalidFileError, RunError, UnknownNameError, UsageError
from n2nsurgery.core.progress import SILENT
from n2nsurgery.experiments.n2nskip.grid import (
    GridPoint,
    GridResults,
    basic_subject,
    plain_subject,
    points_of,
    table1_subjects,
    table2_subject,
    train_grid,
)
from n2nsurgery.experiments.n2nskip.methods import (
    DENSE,
    NORMALIZED,
    ONE_TO_ONE,
    TWO_BLOCKS,
    equal,
    fading,
    surgery_left_by,
    surgery_of,
    with_rule,
)
from n2nsurgery.experiments.n2nskip.paper_networks import CIFAR_DENSITIES, printed
from n2nsurgery.experiments.n2nskip.tables import better
from n2nsurgery.experiments.paper.reproduce import run
from n2nsurgery.experiments.paper.reproduction import EXPERIMENTS, ExperimentConfig
from n2nsurgery.experiments.predefined.runs import data_of, train_junctions
from n2nsurgery.experiments.targets import predefined_fig2, skips
from n2nsurgery.experiments.trials.evenly import evenly
from n2nsurgery.experiments.trials.trial import TrialResult

TRAINED = tuple(name for name in EXPERIMENTS.names() if EXPERIMENTS.get(name).trains)
FIGURES = {
    "accuracy",
    "connectivity",
    "fig5",
    "fig6",
    *(f"predefined-{one}" for one in ("fig1", "fig2", "fig3", "scatter")),
}

WITH_SEVERAL_SEEDS = {"fig6"}
"""Means, spreads and pairs over several seeds are those of one experiment; the others draw the same tables."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all: cells that two experiments share are trained once."""
    return tmp_path_factory.mktemp("reproductions")


@pytest.mark.parametrize("name", TRAINED)
def test_an_experiment_runs_without_any_data_and_claims_nothing(folder, name):
    seeds = None if name in WITH_SEVERAL_SEEDS else 1
    found = run(name, ExperimentConfig(folder=folder, scale="smoke", seeds=seeds, device="cpu"))
    assert found.tables
    assert all(table.rows for table in found.tables)
    assert {verdict.outcome for verdict in found.verdicts} == {"needs full scale"}
    assert bool(found.figures) == (name in FIGURES)
    for figure in found.figures:
        content = (folder / figure).read_bytes()
        assert content.startswith(b"\x89PNG") if figure.endswith(".png") else ET.fromstring(content).tag.endswith("svg")  # noqa: S314 - we wrote it
    assert (folder / f"{name}.md").read_text().startswith(f"# {found.title}")


def test_equal_budgets_are_equal_and_skips_cost_operations(folder):
    subject = table1_subjects(ExperimentConfig(folder=folder, scale="smoke"))[0]
    config = ExperimentConfig(folder=folder, scale="smoke", seeds=1, device="cpu")
    results = train_grid(list(points_of([subject])), config)
    runs = {method: results.runs(subject.at(method, 0.1))[0] for method in subject.methods}
    assert {run.nonzeros for run in runs.values()} == {51_256}
    assert (runs["RP"].skip_nonzeros, runs["N2NSkip-RP"].skip_nonzeros) == (0, 25_628)
    assert runs["N2NSkip-RP"].flops > runs["RP"].flops
    dense = results.runs(subject.at("dense", 1.0))[0]
    assert (dense.nonzeros, dense.weights) == (512_560, 512_560)
    assert dense.flops == runs["RP"].flops == 2 * dense.macs  # dense kernels do not see the mask


def test_a_grid_that_was_stopped_goes_on_and_gives_the_same(tmp_path):
    def interrupt(stage, _done):
        if stage.startswith("3 of") and "epoch 2" in stage:  # inside of the training loop, which handles the signal
            os.kill(os.getpid(), signal.SIGTERM)

    whole, stopped = (
        ExperimentConfig(folder=tmp_path / name, scale="smoke", seeds=1, device="cpu") for name in ("whole", "stopped")
    )
    points = list(points_of([table2_subject(whole)]))
    expected = train_grid(points, whole)
    with pytest.raises(InterruptionError, match="the same command goes on"):
        train_grid(
            points, ExperimentConfig(folder=stopped.folder, scale="smoke", seeds=1, device="cpu", progress=interrupt)
        )
    results = sorted((stopped.folder / "cells").glob("*.json"))
    assert len(results) == 2
    before = {path: path.stat().st_mtime_ns for path in results}
    found = train_grid(points, stopped)
    assert {path: path.stat().st_mtime_ns for path in results} == before
    for point, runs in expected.points.items():
        for seed, trial in runs.items():
            again = found.points[point][seed]
            assert (again.train, again.test, again.recipe) == (trial.train, trial.test, trial.recipe)


def test_what_is_finished_is_shown_without_training(tmp_path):
    config = ExperimentConfig(folder=tmp_path, scale="smoke", device="cpu", finished=True)
    with pytest.raises(RunError, match="leave --finished out"):
        run("table2", config)
    points = list(points_of([table2_subject(config)]))
    train_grid(points[:2], replace(config, finished=False, seeds=1))
    found = run("table2", config)
    assert [row[1] for row in found.tables[0].rows] == ["dense", "RP", "N2NSkip-RP"]
    assert [row[4] for row in found.tables[0].rows] == [1, 1, 0]
    assert found.tables[1].rows == ()


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [("predefined-table1", {}, "trains nothing"), ("predefined-fig3", {"finished": True}, "give one of them")],
)
def test_choosing_trainings_where_nothing_is_trained_is_refused(tmp_path, name, more, said):
    with pytest.raises(UsageError, match=said):
        run(name, ExperimentConfig(folder=tmp_path, scale="smoke", only=("*",), **more))


def test_a_run_that_was_killed_before_it_began_is_begun_again(tmp_path):
    config = ExperimentConfig(folder=tmp_path, scale="smoke", seeds=1, device="cpu")
    point = next(points_of([table2_subject(config)]))
    trial = point.subject.trial(point.method, point.density, 0, download=False)
    (tmp_path / "cells" / trial.key).mkdir(parents=True)
    (tmp_path / "cells" / trial.key / "run.json").write_text("{}")  # written first; nothing else was
    assert train_grid([point], config).runs(point)[0].test


@pytest.mark.parametrize("name", ["table1", "predefined-fig2"])
def test_missing_data_say_where_they_are_looked_for_and_how_to_do_without(tmp_path, name):
    with pytest.raises(UsageError, match=r"was not found in .*--data; --scale smoke needs no data"):
        run(name, ExperimentConfig(folder=tmp_path / "out", data=tmp_path, device="cpu"))


def test_a_result_of_another_version_is_refused():
    with pytest.raises(
        InvalidFileError, match=r"'x': unknown keys \[\], missing keys .*; remove the file to train that trial again"
    ):
        TrialResult.from_json({"name": "a"}, "'x'")


@pytest.mark.parametrize(
    ("network", "dataset", "gains"),
    [
        ("VGG19", "CIFAR-10", (4.60, 1.77)),
        ("VGG19", "CIFAR-100", (5.78, 5.53)),
        ("ResNet50", "CIFAR-10", (4.34, 3.14)),
        ("ResNet50", "CIFAR-100", (9.08, 8.14)),
    ],
)
def test_the_printed_numbers_have_the_known_gains_at_two_percent(network, dataset, gains):
    found = [
        printed(network, dataset, f"N2NSkip-{base}", 0.02)[0] - printed(network, dataset, base, 0.02)[0]
        for base in ("RP", "CSP")
    ]
    assert found == pytest.approx(gains, abs=0.005)  # two printed digits


def test_what_the_paper_does_not_print_is_none():
    assert printed("VGG19", "CIFAR-10", "ResSkip-RP", 0.02) is None
    assert printed("VGG19", "ImageNet", "RP", 0.5) is None
    assert printed("ResNet50", "CIFAR-10", "dense", 1.0) == (95.33, 0.11)
    assert all(printed("VGG19", "CIFAR-10", "RP", density) for density in CIFAR_DENSITIES)


def test_the_paper_scale_is_the_papers_recipe(tmp_path):
    subjects = table1_subjects(ExperimentConfig(folder=tmp_path, scale="paper"))
    assert [(s.model, s.data.name) for s in subjects] == [
        ("cifar-vgg19", "cifar10"),
        ("cifar-vgg19", "cifar100"),
        ("cifar-resnet50", "cifar10"),
        ("cifar-resnet50", "cifar100"),
    ]
    train = subjects[0].train
    optimizer, schedule = train.optimizer, train.schedule
    assert (train.epochs, train.batch_size, optimizer.lr, optimizer.momentum) == (300, 128, 0.05, 0.9)
    assert (optimizer.weight_decay, schedule.name, schedule.step_epochs, schedule.gamma) == (5e-4, "step", 30, 0.5)


def test_what_two_experiments_ask_for_alike_is_one_cell(tmp_path):
    config = ExperimentConfig(folder=tmp_path)

    def keys(subjects) -> set[str]:
        return {
            point.subject.trial(point.method, point.density, 0, download=False).key for point in points_of(subjects)
        }

    # Of the plain network dense, RP, one-to-one and ResSkip at two densities; of the tiny ResNet dense, RP, one-to-one.
    assert len(keys(skips._subjects(config)) & keys(table1_subjects(config))) == (1 + 3 * 2) + (1 + 2)


def test_methods_differ_in_where_skips_lead_and_how_weights_are_shared():
    where = {method: surgery_of(method, 0.05) for method in (NORMALIZED, ONE_TO_ONE, TWO_BLOCKS)}
    assert [asked.skip_placement for asked in where.values()] == ["two-blocks", "avoid-residual", "two-blocks"]
    for method in ("RP", ONE_TO_ONE, "ResSkip-RP"):
        assert replace(surgery_of(equal(method), 0.05), allocation="erk") == surgery_of(method, 0.05)


def test_what_a_run_leaves_is_pruned_to_the_end_and_without_the_skips_that_faded():
    assert surgery_left_by(with_rule("GMP", ONE_TO_ONE), 0.05) == surgery_of(ONE_TO_ONE, 0.05)
    assert surgery_left_by(fading(ONE_TO_ONE), 0.05) == replace(surgery_of(ONE_TO_ONE, 0.05), skip="none")
    with pytest.raises(ValueError, match="dense is not pruned"):
        surgery_left_by(DENSE, 0.05)


def test_a_fading_method_is_tested_without_its_skips(tmp_path):
    subject = plain_subject(ExperimentConfig(folder=tmp_path, scale="smoke"))
    trial = subject.trial(fading("ResSkip-RP"), 0.1, 0, download=False)
    assert trial.recipe.surgery == subject.trial("ResSkip-RP", 0.1, 0, download=False).recipe.surgery
    found = TrialResult.from_json(trial.run(tmp_path, "cpu", SILENT), "result")
    assert (found.nonzeros, found.skip_nonzeros) == (round(0.1 * found.weights), 0)
    assert n2nsurgery.load(tmp_path / trial.key).plan.skips == ()


@pytest.mark.parametrize("method", ["SET", f"ITOP, {ONE_TO_ONE}", f"GMP, {ONE_TO_ONE}", "RigL, ResSkip-RP"])
def test_a_method_whose_weights_move_ends_with_the_non_zeros_of_the_others(tmp_path, method):
    subject = plain_subject(ExperimentConfig(folder=tmp_path, scale="smoke"))
    trial = subject.trial(method, 0.1, 0, download=False)
    assert trial.recipe.train.dynamics is not None
    found = TrialResult.from_json(trial.run(tmp_path, "cpu", SILENT), "result")
    assert found.nonzeros == round(0.1 * found.weights)
    assert (found.skip_nonzeros > 0) == (ONE_TO_ONE in method)
    recipe = subject.trial("RP", 0.1, 0, download=False).recipe
    assert recipe.train.dynamics is None
    assert "dynamics" not in recipe.trained()["train"]  # results from before there were dynamics stay valid


def trained(accuracy: float) -> TrialResult:
    return TrialResult(
        name="cell", recipe="0" * 8, seed=0, train=(0.5,), validation=(None,), test=(accuracy / 100,), weights=100,
        nonzeros=5, skip_nonzeros=0, macs=5, flops=200, seconds=1.0, device="cpu", warnings=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((6.0, 6.1, 5.9), "reproduced"),
        ((4.0, 4.1, 3.9), "refuted"),
        ((3.0, 6.0, 9.0), "undecided"),
    ],
)
def test_a_gain_is_measured_against_the_points_that_are_asked_for(tmp_path, gains, outcome):
    subject = basic_subject(ExperimentConfig(folder=tmp_path), (0.05,), ("RP", ONE_TO_ONE))
    points = {
        GridPoint(subject=subject, method=method, density=0.05): {
            seed: trained(40 + gain * (method != "RP")) for seed, gain in enumerate(gains)
        }
        for method in subject.methods
    }
    results = GridResults(points=points, failures=())
    found = better(results, subject, (ONE_TO_ONE, "RP"), "small", margin=5.0)
    assert found.statement.startswith(f"{ONE_TO_ONE} is 5 points or more above RP: cifar-basic-resnet (for ResNet20)")
    assert found.outcome == outcome
    assert better(results, subject, (ONE_TO_ONE, "RP"), "smoke", margin=5.0).outcome == "needs full scale"


def test_a_statement_on_some_densities_reads_the_runs_of_all(tmp_path):
    subject = basic_subject(ExperimentConfig(folder=tmp_path), (0.05, 0.02), ("RP",))
    points = {
        subject.at(method, density): {seed: trained(accuracy + seed) for seed in range(2)}
        for method, density, accuracy in ((DENSE, 1.0, 80.0), ("RP", 0.05, 79.0))
    }
    results = GridResults(points=points, failures=())
    at_five = replace(subject, densities=(0.05,), methods=())
    found = better(results, at_five, ("RP", DENSE), "small", margin=-2.0)
    assert found.outcome == "reproduced"
    assert found.evidence == "5 %: -1.00 [-1.00, -1.00] points, 2 seeds"
    both = better(results, subject, ("RP", DENSE), "small")
    assert both.evidence.endswith("; 2 %: no run")


def test_an_unknown_method_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'N2NSkip-RP'"):
        surgery_of("N2NSkip-RPP", 0.1)


def test_settings_are_chosen_evenly_with_their_ends():
    settings = tuple((number,) for number in range(31))
    chosen = evenly(settings, 5, [(2,)])
    assert chosen == ((0,), (2,), (8,), (15,), (22,), (30,))
    assert evenly(settings, 99) == settings


def test_a_cell_says_everything_that_it_is(folder):
    config = ExperimentConfig(folder=folder, scale="smoke", seeds=1, device="cpu")
    subject = table1_subjects(config)[0]
    trial = subject.trial("N2NSkip-CSP", 0.1, 1, download=False)
    assert trial.key.startswith("cifar-plain17-fake-N2NSkip-CSP-d0.1-s1-")
    train_grid([next(iter(points_of([subject])))], config)
    document = json.loads((folder / "cells" / f"{subject.trial('dense', 1.0, 0, download=False).key}.json").read_text())
    assert document["seed"] == 0
    assert len(document["test"]) == subject.train.epochs


def test_networks_of_junctions_alone_are_trained_at_their_fan_outs(tmp_path):
    config = ExperimentConfig(folder=tmp_path, scale="small", device="cpu")
    data = data_of("fake", config, shape=(1, 28, 28), train=128, test=32)
    asked = []
    for junctions, fans in predefined_fig2._alone(config):
        asked.append((replace(junctions, data=data, train=replace(junctions.train, epochs=1)), fans[0]))
    runs = train_junctions(asked, config, 1)
    assert not runs.failures
    for junctions, fan in asked:
        run = runs.runs((junctions, fan))[0]
        assert (run.nonzeros, run.weights) == (junctions.network.weights(fan), junctions.network.dense_weights)


@pytest.mark.slow
def test_a_mistake_that_a_process_meets_is_the_error_of_the_whole(tmp_path):
    config = ExperimentConfig(folder=tmp_path / "out", data=tmp_path, device="cpu", workers=2)
    with pytest.raises(UsageError, match=r"cifar-plain17-.*was not found in .*--data"):
        run("table1", config)
