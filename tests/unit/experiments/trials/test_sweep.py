import json
from pathlib import Path

import pytest

from n2nsurgery.core.errors import BudgetError, UnknownNameError, UsageError
from n2nsurgery.experiments.trials.sweep import run
from n2nsurgery.experiments.trials.sweep_request import SweepRequest

MORSE = Path(__file__).parents[4] / "recipes" / "morse.yaml"
TINY = (
    "data.train_per_class=4", "data.validation_per_class=1", "data.test_per_class=2", "train.epochs=1",
    "train.batch_size=64",
)  # fmt: skip


def sweep(**options) -> SweepRequest:
    return SweepRequest(**{"recipe": MORSE, "density": 0.25, "overrides": TINY, "device": "cpu", **options})


def test_all_settings_of_the_papers_sweep_keep_the_same_weights():
    found = run(sweep(list_only=True))
    assert len(found.settings) == 31
    assert found.layers == ("0", "2")
    assert found.weights == 32_768
    for setting in found.settings:
        assert sum(fan * n_in for fan, n_in in zip(setting.fan_outs, (64, 1024), strict=True)) == 32_768
        assert sum(fan * n_out for fan, n_out in zip(setting.fan_ins, (1024, 64), strict=True)) == 32_768


def test_a_list_needs_no_data_where_the_recipe_says_what_the_data_would(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "version: 1\nmodel: {name: mlp, options: {widths: [8, 4]}, num_classes: 4, input_size: [8]}\n"
        "data: {name: cifar10}\nsurgery: {density: 0.5}\ntrain: {epochs: 1}\n"
    )
    asked = SweepRequest(recipe=recipe, density=0.5, list_only=True, data_root=tmp_path, device="cpu")
    assert [setting.fan_outs for setting in run(asked).settings]
    with pytest.raises(UsageError, match="cifar10"):
        run(SweepRequest(recipe=recipe, density=0.5, data_root=tmp_path, device="cpu"))


def test_a_sweep_trains_its_settings_once_and_names_the_best(tmp_path):
    first = run(sweep(count=2, output=tmp_path / "sweep"))
    assert [setting.fan_outs for setting in first.settings] == [(16, 31), (496, 1)]
    assert all(len(setting.accuracies) == 1 for setting in first.settings)
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("*.json")}
    assert len(results) == 2
    assert all(json.loads(path.read_text())["nonzeros"] == 32_768 for path in results)
    document = run(sweep(count=2, output=tmp_path / "sweep")).to_json()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("*.json")} == results
    assert document["best"] in ([16, 31], [496, 1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"density": 1.5}, UsageError, r"density is 1.5; it must be in \(0, 1\]"),
        ({"seeds": 0}, UsageError, "seeds is 0; it must be a whole number from 1"),
        ({"count": 1}, UsageError, "count is 1; it must be a whole number from 2"),
        ({"layer": ("9",)}, UnknownNameError, "linear layer pattern '9'"),
        ({"layer": ("0",)}, UsageError, "there are 1 of them"),
        ({"density": 0.3}, BudgetError, "no whole fan-outs have 39,322 of 131,072 edges; nearest are "),
    ],
)
def test_what_cannot_be_swept_is_one_error(options, error, message):
    with pytest.raises(error, match=message):
        run(sweep(list_only=True, **options))
