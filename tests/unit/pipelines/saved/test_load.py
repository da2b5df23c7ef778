from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from n2nsurgery import apply, load, train
from n2nsurgery.core.errors import InvalidFileError, UnknownNameError, UsageError
from n2nsurgery.models.families.mlp import Perceptron
from n2nsurgery.pipelines.prune.apply import run
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.pipelines.saved import run_folder as run_folders
from n2nsurgery.surgery.planning.config import SurgeryConfig


class Tiny(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6 if index == 0 else width, width) for index in range(5))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def anonymous(tmp_path) -> Path:
    """The artifact of an object without a name."""
    return apply(Tiny(), density=0.5, example_inputs=X).save(tmp_path / "anonymous")


@pytest.fixture
def named(tmp_path) -> Path:
    """The artifact of a model with a name."""
    return run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), output=tmp_path / "named")).artifact


def test_a_named_model_is_built_again(named):
    pruned = load(named)
    assert pruned.masks.kept == pruned.plan.budget.total
    assert type(pruned.module) is Perceptron


def test_the_folder_may_be_text(named):
    assert load(str(named)).plan == load(named).plan


def test_a_model_that_is_given_takes_the_place_of_the_named_one(named):
    with pytest.raises(InvalidFileError, match="this model is not the one that was pruned"):
        load(named, Perceptron([3072, 512, 256, 100, 64]))
    with pytest.raises(InvalidFileError, match=r"not the one that was pruned: weight layers\.0\.weight \(512, 3072\)"):
        load(named, Tiny())


def test_an_object_without_a_name_has_to_be_given(anonymous):
    with pytest.raises(UsageError, match=rf"'{anonymous}' was made from a Tiny object: pass the dense model, load\("):
        load(anonymous)
    assert load(anonymous, Tiny()).plan.model_class == "Tiny"


def test_a_model_of_another_width_is_refused_with_the_folder(anonymous):
    message = (
        rf"'{anonymous}': this model is not the one .*layers\.0\.weight \(6, 6\); weight layers\.0\.weight \(7, 6\)"
    )
    with pytest.raises(InvalidFileError, match=message):
        load(anonymous, Tiny(width=7))


def test_the_given_model_stays_as_it_is(anonymous):
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load(anonymous, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.fixture
def factory(monkeypatch) -> list[int]:
    """An importable factory, and the widths that it was called with."""
    calls: list[int] = []
    module = ModuleType("models")

    def build(width: int = 6) -> nn.Module:
        calls.append(width)
        return Tiny(width)

    module.build = build
    monkeypatch.setitem(sys.modules, "models", module)
    return calls


def test_code_of_a_factory_is_run_only_where_that_is_allowed(factory, tmp_path):
    request = ApplyRequest(
        model="models:build", surgery=SurgeryConfig(density=0.5), input_size=(6,), output=tmp_path / "artifact"
    )
    pruned = run(request).pruned
    factory.clear()
    with pytest.raises(UsageError, match="model 'models:build' imports code, which is barred here"):
        load(tmp_path / "artifact")
    assert factory == []
    loaded = load(tmp_path / "artifact", allow_import=True)
    assert factory == [6]
    assert torch.equal(loaded.module(X), pruned.module(X))


def test_a_factory_is_not_needed_where_its_model_is_given(factory, tmp_path):
    pruned = run(
        ApplyRequest(model="models:build", surgery=SurgeryConfig(density=0.5), input_size=(6,), output=tmp_path / "a")
    ).pruned
    factory.clear()
    assert torch.equal(load(tmp_path / "a", Tiny()).module(X), pruned.module(X))
    assert factory == []


@pytest.mark.usefixtures("factory")
def test_a_factory_that_is_gone_is_named(tmp_path, monkeypatch):
    run(ApplyRequest(model="models:build", surgery=SurgeryConfig(density=0.5), input_size=(6,), output=tmp_path / "a"))
    monkeypatch.delitem(sys.modules, "models")
    with pytest.raises(UnknownNameError, match="'models:build' cannot be imported"):
        load(tmp_path / "a", allow_import=True)


every_file = pytest.mark.parametrize(
    "name", ["plan.json", "record.json", "model.safetensors", "masks.safetensors", "manifest.json"]
)


@every_file
def test_whatever_is_missing_is_named(anonymous, name):
    (anonymous / name).unlink()
    with pytest.raises(InvalidFileError, match=name):
        load(anonymous, Tiny())


@every_file
def test_whatever_is_damaged_is_named(anonymous, name):
    content = bytearray((anonymous / name).read_bytes())
    content[len(content) // 2] ^= 1
    (anonymous / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match=name):
        load(anonymous, Tiny())


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(InvalidFileError, match=r"nowhere' is not a folder; an artifact is the folder that"):
        load(tmp_path / "nowhere")


class Indexed(nn.Module):
    """Takes indices and a mask, in other types than floating point."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 6)
        self.body = Tiny()

    def forward(self, index: Tensor, keep: Tensor) -> Tensor:
        return self.body(self.embedding(index) * keep.unsqueeze(-1))


def test_inputs_of_any_type_are_known_again(tmp_path):
    inputs = {"index": torch.tensor([0, 4, 2]), "keep": torch.tensor([True, False, True])}
    model = Indexed()
    pruned = apply(model, density=0.5, example_inputs=inputs)
    assert [(spec.name, spec.shape, spec.dtype) for spec in pruned.plan.inputs] == [
        ("index", (3,), "int64"),
        ("keep", (3,), "bool"),
    ]
    pruned.save(tmp_path / "artifact")
    assert torch.equal(load(tmp_path / "artifact", model).module(**inputs), pruned.module(**inputs))


def trained_run(folder: Path) -> Path:
    """The run of two epochs of a pruned network."""
    pruned = apply(Tiny(), density=0.5, example_inputs=X, skip="none")
    train(pruned, TensorDataset(X, X.argmax(1)), folder=folder, epochs=2, batch_size=2, device="cpu")
    return folder


def test_a_checkpoint_that_goes_while_it_is_read_is_no_error(monkeypatch, tmp_path):
    run_folder = trained_run(tmp_path / "run")
    read = run_folders.trained_weights
    taken = []

    def replaced(checkpoint: Path) -> object:
        taken.append(checkpoint.name)
        if len(taken) == 1:
            checkpoint.rename(checkpoint.with_name("e00003-b0000000"))
        return read(checkpoint)

    monkeypatch.setattr(run_folders, "trained_weights", replaced)
    assert load(run_folder, Tiny(), last=True).masks.kept == 90
    assert taken == ["e00002-b0000000", "e00003-b0000000"]


def test_a_checkpoint_that_is_damaged_is_told_once(monkeypatch, tmp_path):
    monkeypatch.setattr(run_folders, "_REPLACED", 0)
    run_folder = trained_run(tmp_path / "run")
    for weights in run_folder.glob("checkpoints/*/*.safetensors"):
        weights.unlink()
    with pytest.raises(InvalidFileError, match="holds no checkpoint that is whole"):
        load(run_folder, Tiny(), last=True)
