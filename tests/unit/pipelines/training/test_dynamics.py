"""Recipes whose masks move: what a run holds at its end is proven by its plan, and everything goes on from it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

import n2nsurgery
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.pipelines.deploy.verify import run as verify
from n2nsurgery.surgery.proof import prove_counts
from n2nsurgery.training.config.dynamics import DynamicsConfig

RECIPE = """\
version: 2
model: {name: mlp, options: {widths: [8, 16, 16, 16, 16]}}
data: {name: fake, shape: [8], classes: 4, train: 80, validation: 16, test: 32}
surgery: {density: 0.4}
train: {epochs: 3, batch_size: 16, device: cpu, schedule: {name: constant}}
"""
REFERENCE = 960  # 8 * 16 + 3 * 16 * 16 + 16 * 4
RIGL = "train.dynamics={name: rigl, every: 2}"
GLOBAL = "train.dynamics={name: rigl, every: 2, options: {scope: global}}"
GMP = "train.dynamics={name: gmp, every: 2, final: 0.1}"


@pytest.fixture
def train(train_recipe):
    return partial(train_recipe, RECIPE)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((GMP,), "384 weights that are kept at the start: 38 are left"),
        ((GMP, "surgery.density=1"), None),
        ((GMP, "surgery=null"), None),
        (("train.dynamics={name: gmp, final: 0.1}", "surgery=null"), "960 weights to 96 at once, after step 9 of 12"),
        ((RIGL,), None),
        (("train.dynamics=rigl",), "moves nothing: no exchange is due in the 12 steps"),
        (("train.dynamics=set",), None),
    ],
)
def test_dynamics_that_is_easily_asked_for_by_mistake_is_warned_of(overrides, told, train, caplog):
    train(*overrides)
    found = [record.getMessage() for record in caplog.records if "dynamics" in record.getMessage()]
    assert [told in each for each in found] == ([] if told is None else [True])


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        ((RIGL,), 384),
        ((GLOBAL,), 384),
        (("train.dynamics={name: set}", "train.engine=sparse"), 384),
        ((GLOBAL, "train.engine=sparse"), 384),
        ((GMP, "surgery.density=1"), 96),
        ((GMP, "surgery=null"), 96),
    ],
)
def test_a_run_is_loaded_with_its_last_masks_and_exactly_its_budget(overrides, kept, train):
    outcome = train(*overrides)
    assert outcome.pruned is not None
    assert (outcome.pruned.masks.kept, outcome.to_json()["surgery"]["nnz_total"]) == (kept, kept)
    loaded, begun = n2nsurgery.load("run", last=True), n2nsurgery.load("run/surgery")
    assert loaded.masks == outcome.pruned.masks
    assert loaded.masks != begun.masks
    assert (loaded.plan.budget.total, loaded.record.masks) == (kept, loaded.masks.fingerprint)
    assert sum(skip.kept for skip in loaded.plan.skips) == loaded.plan.budget.skips
    assert n2nsurgery.load("run").masks.kept == kept  # the best epoch has the final number, too
    prove_counts(loaded.module, loaded.masks, loaded.plan)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded.module.eval()(x), outcome.pruned.module.eval()(x))
    loaded.save("artifact")
    assert n2nsurgery.load("artifact").masks == loaded.masks


def test_what_is_exported_is_counted_by_the_last_masks(train):
    train(GMP, "surgery.density=1", "export={}")
    loaded = n2nsurgery.load("run")
    assert loaded.summary()["density"] == loaded.masks.kept / REFERENCE == 0.1
    assert verify(Path("run/model.onnx"), against=Path("run")).masked


def test_a_run_resumes_from_its_last_masks(train):
    train(RIGL, "train.epochs=3", folder="whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("n2nsurgery.training.loop.trainer.Trainer._evaluate", _die)
        with pytest.raises(KeyboardInterrupt):
            train(RIGL)
    assert n2nsurgery.load("run", last=True).masks != n2nsurgery.load("run/surgery").masks
    train(RIGL, resume="auto")
    one, other = n2nsurgery.load("run", last=True), n2nsurgery.load("whole", last=True)
    assert one.masks == other.masks
    assert all(torch.equal(value, other.module.state_dict()[name]) for name, value in one.module.state_dict().items())


def _die(_trainer):
    raise KeyboardInterrupt


def test_a_python_model_has_its_new_masks_at_present(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())
    pruned = n2nsurgery.apply(network, example_inputs=x[:2], density=0.25, skip="none")
    begun = pruned.masks
    n2nsurgery.train(
        pruned, data, folder=tmp_path / "run", epochs=2, batch_size=16, device="cpu",
        dynamics=DynamicsConfig(name="set"),
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"the module has other masks now.*take `pruned\.present\(\)`"):
        pruned.save(tmp_path / "artifact")
    present = pruned.present()
    assert present.masks != begun
    assert present.masks.kept == begun.kept
    assert present.present() is not present
    assert present.present().plan == present.plan
    present.save(tmp_path / "artifact")
    assert n2nsurgery.load(tmp_path / "artifact", model=network).masks == present.masks
    assert n2nsurgery.load(tmp_path / "run", model=network).masks == present.masks


def test_masks_of_another_network_in_a_checkpoint_are_refused(train):
    train("train.dynamics={name: set}")
    train("train.dynamics={name: set}", "model.options={widths: [8, 16, 16, 16]}", folder="other")
    for folder in Path("run/checkpoints").glob("e*"):
        other = Path("other/checkpoints", folder.name)
        for path in folder.iterdir():
            path.unlink()
        for path in other.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InvalidFileError, match="the masks of 2 parameters are missing"):
        n2nsurgery.load("run")
