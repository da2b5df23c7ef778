"""Artifacts of schema 1, which versions up to 0.1.0 wrote; `schema_1` holds one, and what it computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import load
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan

FOLDER = Path(__file__).with_name("schema_1")
PLAN = json.loads((FOLDER / "plan.json").read_text(encoding="utf-8"))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.conv3(x))
        return self.head(x.mean((2, 3)))


def test_an_artifact_of_schema_1_loads_to_the_same_bits():
    pruned = load(FOLDER, Net())
    pruned.module.eval()
    output = pruned.module(torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8))
    written = [[-0.33403149247169495, 0.1242922991514206, 0.25782644748687744, 0.03433971852064133]]
    # The weights are exact; another processor may sum them in another order.
    torch.testing.assert_close(output, torch.tensor(written), rtol=0, atol=1e-6)
    assert pruned.masks.counts["n2n_skips.0.weight"] == 66
    assert pruned.masks.kept == pruned.plan.budget.total == 700


def test_what_was_asked_has_the_names_of_today():
    assert SurgeryPlan.from_json(PLAN).config == SurgeryConfig(
        density=0.5,
        skip_ratio=0.1,
        criterion_options={"allocation": "uniform"},
        skip_length=2,
        skip_placement="all",
        include_classifier=True,
        ignore=("conv1",),
        skip_pattern="random",
        skip_kernel="target",
        redistribute=True,
        engine="rewrite",
    )


def test_it_is_saved_again_in_the_schema_of_today(tmp_path):
    load(FOLDER, Net()).save(tmp_path / "again")
    plan = json.loads((tmp_path / "again" / "plan.json").read_text(encoding="utf-8"))
    assert (plan["schema"], plan["config"]["ignore"]) == (2, ["conv1"])
    assert torch.equal(load(tmp_path / "again", Net()).module.conv2.weight, load(FOLDER, Net()).module.conv2.weight)


def test_fan_outs_and_densities_of_layers_are_mappings_by_layer():
    junctions = [
        {"layers": "0", "fan_out": 4, "density": None},
        {"layers": "re:x", "fan_out": None, "density": 0.25},
    ]
    asked = SurgeryPlan.from_json(PLAN | {"config": PLAN["config"] | {"junctions": junctions, "density": None}}).config
    assert (asked.density, asked.fan_out, asked.junction_density) == (None, {"0": 4}, {"re:x": 0.25})


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"config": {}},
        {"config": PLAN["config"] | {"pairs": []}},
        {"config": PLAN["config"] | {"x": 1}},
    ],
    ids=["none", "empty", "pairs", "unknown key"],
)
def test_what_is_not_a_plan_of_schema_1_is_refused(change):
    with pytest.raises(InvalidFileError, match=r"plan\.json"):
        SurgeryPlan.from_json(PLAN | change)
