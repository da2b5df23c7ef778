"""Weights from files: what fits is loaded, everything else is refused with what differs."""

import pytest
import torch
from safetensors.torch import save_file

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.models.catalog import resolve_model

SMALL = {"widths": [6, 4], "num_classes": 3}


def state(**changes):
    own = resolve_model("mlp", seed=5, options=SMALL).module.state_dict()
    return {name: tensor for name, tensor in {**own, **changes}.items() if tensor is not None}


def load(path):
    return resolve_model("mlp", seed=0, options=SMALL, weights=str(path))


def test_a_safetensors_file_is_loaded_and_named_by_its_hash(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(state(), path)
    bundle = load(path)
    assert all(torch.equal(tensor, state()[name]) for name, tensor in bundle.module.state_dict().items())
    assert bundle.spec.weights.startswith("sha256:")
    assert "w.safetensors" not in bundle.spec.to_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers.0.weight": None}, r"1 missing \(layers.0.weight\); 0 unexpected"),
        ({"other": torch.zeros(1)}, r"1 unexpected \(other\)"),
        ({"layers.0.weight": torch.zeros(2, 2)}, r"1 of another shape \(layers.0.weight\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_differs(tmp_path, changes, message):
    path = tmp_path / "w.safetensors"
    save_file(state(**changes), path)
    with pytest.raises(InvalidFileError, match=message):
        load(path)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(InvalidFileError, match=r"w\.safetensors cannot be read"):
        load(path)
    path.write_bytes(b"\x10")
    with pytest.raises(InvalidFileError, match=r"w\.safetensors cannot be read"):
        load(path)


def test_a_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(state(), path)
    with pytest.raises(UsageError, match=r"is not a .safetensors file"):
        load(path)
