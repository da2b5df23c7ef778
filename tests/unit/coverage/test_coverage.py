"""The matrix of models: its rows, its page, and a part of it that holds the numbers."""

from __future__ import annotations

import importlib.util

import pytest

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.coverage.catalogue import names
from n2nsurgery.coverage.groups import own_modules, torchvision_models, transformers_models
from n2nsurgery.coverage.matrix import Limits, rows
from n2nsurgery.coverage.probe import probe
from n2nsurgery.coverage.row import CoverageRow
from n2nsurgery.coverage.table import page

# name: places, engine
SERVED = {
    "own:plain": (3, "hooks"),
    "own:three-layers": (1, "hooks"),
    "own:prelu": (3, "hooks"),
    "own:sigmoid": (3, "hooks"),
    "own:conv3d": (1, "hooks"),
    "own:autoencoder": (1, "hooks"),
    "own:transformer-encoder": (2, "hooks"),
    "own:functional": (2, "rewrite"),
    "own:shared": (3, "hooks"),
    "own:lstm": (1, "hooks"),
    "own:weight-norm": (3, "hooks"),
    "own:spectral-norm": (3, "hooks"),
    "own:autograd-function": (2, "hooks"),
    "own:batch-branch": (2, "hooks"),
    "own:counting": (2, "hooks"),
    "own:train-override": (2, "hooks"),
    "own:noisy": (2, "hooks"),
    "own:container-hook": (2, "hooks"),
    "own:dataclass-output": (2, "hooks"),
    "own:keywords": (2, "hooks"),
    "own:dict-input": (2, "hooks"),
    "own:double": (3, "hooks"),
    "torchvision:squeezenet1_1": (29, "hooks"),
    "timm:test_vit": (5, "hooks"),
    "transformers:bert": (1, "hooks"),
    "transformers:gpt2": (2, "hooks"),
    "transformers:opt": (2, "hooks"),
    "transformers:phi3": (2, "hooks"),
}


@pytest.mark.parametrize("name", SERVED)
def test_models_of_every_kind_are_served(name):
    if name.startswith(("timm", "transformers")):
        pytest.importorskip(name.partition(":")[0])
    row = probe(name, export=False)
    assert (row.outcome, row.gates, row.reason) == ("served", True, "")
    assert (row.places, row.engine) == SERVED[name]


def test_a_served_model_is_exported_and_compared():
    row = probe("own:plain")
    assert (row.outcome, row.exported) == ("served", True)
    assert row.parity < 1e-6  # float32 sums of eight products


def test_a_served_model_that_cannot_be_exported_stays_served_with_the_reason(monkeypatch):
    def failing(*_):
        raise MemoryError("too large")

    monkeypatch.setattr("n2nsurgery.coverage.probe.export_onnx", failing)
    row = probe("own:plain")
    assert (row.outcome, row.gates, row.exported, row.parity) == ("served", True, False, None)
    assert row.reason == "MemoryError: too large"


def test_what_cannot_be_pruned_is_a_row_with_the_reason():
    row = probe("own:orthogonal", export=False)
    assert row.outcome == "refused"
    assert "has no weight that can be pruned" in row.reason
    assert (row.places, row.gates, row.parity) == (None, None, None)


def test_a_library_that_is_not_installed_is_skipped_by_name(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "monai" else find_spec(name))
    assert names("monai:*") == ("monai:*",)
    assert probe("monai:*") == CoverageRow(name="monai:*", outcome="skipped", reason="monai is not installed")


def test_a_pattern_selects_models_and_must_match_one():
    assert names("own:conv?d") == ("own:conv1d", "own:conv2d", "own:conv3d")
    with pytest.raises(UnknownNameError, match="did you mean 'own:plain'"):
        names("own:plane")


def test_the_matrix_holds_the_kinds_and_architectures_that_were_promised():
    assert len(own_modules.names()) >= 25
    assert len(transformers_models.names()) >= 60


def test_a_model_has_a_process_of_its_own_with_a_limit_of_time():
    (row,) = rows(["own:plain"], Limits(seconds=1))
    assert row == CoverageRow(name="own:plain", outcome="failed", reason="took more than 1 s", seconds=1.0)
    (row,) = rows(["own:plain"], Limits(gigabytes=9), export=False)
    assert (row.name, row.outcome, row.places, row.exported, row.gigabytes) == ("own:plain", "served", 3, None, 9)


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"gigabytes": 0}])
def test_limits_are_at_least_one(limits):
    with pytest.raises(UsageError, match="limits are at least 1"):
        Limits(**limits)


def test_the_page_has_sums_for_each_library_and_a_line_for_each_model():
    served = CoverageRow(
        name="own:a", outcome="served", visible=0.5, places=3, skip_length=3, engine="hooks", gates=True,
        exported=True, parity=2.5e-7, seconds=1.26,
    )  # fmt: skip
    leaf = CoverageRow(
        name="own:b", outcome="pruned only", leaves=("Odd: x | y",), visible=0.25, places=0, gates=True, exported=False,
        gigabytes=12,
    )  # fmt: skip
    refused = CoverageRow(name="monai:c", outcome="refused", reason="a <reason>")
    lines = page([served, leaf, refused]).splitlines()
    assert any("may take 8 GB of memory" in line for line in lines)
    assert [line.split(" | ")[1:] for line in lines if line.startswith("| own 2")] == [
        ["2", "1", "1", "0", "0", "1 of 2 |"]
    ]
    assert "| a | served | whole | 50.0% | 3 over 3 | hooks | passed | 2.5e-07 | 1.3 |  |" in lines
    assert "| b | pruned only | 1 leaves | 25.0% | 0 |  | passed | none | 0.0 | Odd: x \\| y; limit: 12 GB |" in lines
    assert "| c | refused |  |  |  |  |  |  | 0.0 | a &lt;reason> |" in lines


def test_rows_of_an_earlier_page_stay_where_their_models_are_not_tried_again():
    rows = [
        CoverageRow(name=name, outcome="served", parity=1e-7, reason="x | y") for name in ("own:a", "own:b", "own:c")
    ]
    before = page(rows)
    again = CoverageRow(name="own:b", outcome="refused")
    assert page([again], before) == page([rows[0], again, rows[2]])
    assert page(rows, before) == before
    added = CoverageRow(name="monai:d", outcome="failed")
    assert page([added], before) == page([*rows, added])


def test_rows_of_another_version_of_a_library_are_dropped():
    before = page([CoverageRow(name="own:a", outcome="served")]).replace("| own 2", "| own 1")
    rows = [CoverageRow(name="own:b", outcome="served")]
    assert page(rows, before) == page(rows)


def test_every_model_of_torchvision_is_in_the_matrix():
    assert len(torchvision_models.names()) == 121


@pytest.mark.slow
def test_at_least_fifty_architectures_of_transformers_get_skips():
    pytest.importorskip("transformers")
    found = [probe(f"transformers:{name}", export=False) for name in transformers_models.names()]
    assert sum(row.outcome == "served" for row in found) >= 50
