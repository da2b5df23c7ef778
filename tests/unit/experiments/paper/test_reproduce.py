import json

import pytest

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.experiments.paper.reproduce import run
from n2nsurgery.experiments.paper.reproduction import EXPERIMENTS, ExperimentConfig


def test_the_density_table_is_drawn_and_counted_and_its_one_misprint_is_named(tmp_path):
    found = run("predefined-table1", ExperimentConfig(folder=tmp_path))
    rows = found.tables[0].rows
    assert len(rows) == 17
    assert [row[0] for row in rows if row[-1] != "yes"] == ["CIFAR100 conv+3CLs"]
    assert json.loads((tmp_path / "predefined-table1.json").read_text())["verdicts"][0]["outcome"] == "reproduced"
    page = (tmp_path / "predefined-table1.md").read_text()
    assert page.count("\n| ") == 17 + 2 + 1 + 2  # both tables with their heads and rules
    assert "16 of 17 rows" in page


def test_the_savings_are_counted_and_what_differs_is_named(tmp_path):
    found = run("predefined-table2", ExperimentConfig(folder=tmp_path))
    assert [row[6] for row in found.tables[0].rows] == [
        "50",
        "50",
        "95.63",
        "64.62 [64.63]",
        "64.76",
        "65.83",
        "65.98 [65.99]",
    ]
    assert "39 of 42" in found.verdicts[0].evidence


def test_an_unknown_experiment_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'predefined-table1'"):
        run("predefined-tabel1", ExperimentConfig(folder=tmp_path))


@pytest.mark.parametrize("config", [{"scale": "large"}, {"seeds": 0}])
def test_a_setting_that_cannot_be_is_refused(tmp_path, config):
    with pytest.raises(UsageError):
        run("predefined-table1", ExperimentConfig(folder=tmp_path, **config))


@pytest.mark.parametrize("name", EXPERIMENTS.names())
def test_every_experiment_says_what_it_is_and_whether_it_trains(name):
    member = EXPERIMENTS.get(name)
    module = __import__(member.__module__, fromlist=["MEMBER"])
    assert module.__doc__.startswith(f"Experiment `{name}`")
    assert isinstance(member.trains, bool)
