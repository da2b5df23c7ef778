"""Weights from files: what fits is loaded, everything else is refused with what differs."""

import pytest
import torch
from safetensors.torch import save_file

from n2nsurgery.core.errors import InvalidFileError, UnknownNameError, UsageError
from n2nsurgery.models.catalog import resolve_model

SMALL = {"widths": [6, 4], "num_classes": 3}


def state(**changes):
    own = resolve_model("mlp", seed=5, options=SMALL).module.state_dict()
    return {name: tensor for name, tensor in {**own, **changes}.items() if tensor is not None}


def load(path, **options):
    return resolve_model("mlp", seed=0, options=SMALL, weights=str(path), **options)


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


def test_weights_that_are_no_numbers_are_refused_where_they_are_used(tmp_path):
    broken = state()["layers.0.weight"].clone()
    broken[0, :2] = torch.tensor([torch.nan, -torch.inf])
    path = tmp_path / "w.safetensors"
    save_file(state(**{"layers.0.weight": broken}), path)
    with pytest.raises(InvalidFileError, match=r"w\.safetensors': values of 'layers.0.weight' are NaN .*\(2 of 24\)"):
        load(path)
    load(path, weights_ignore=("layers.0.weight",))


def test_a_damaged_or_missing_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(InvalidFileError, match=r"w\.safetensors' cannot be read"):
        load(path)
    path.write_bytes(b"\x10")
    with pytest.raises(InvalidFileError, match=r"w\.safetensors' cannot be read"):
        load(path)


def test_tensors_of_torch_save_are_read_and_objects_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(state(), path)
    bundle = load(path)
    assert all(torch.equal(tensor, state()[name]) for name, tensor in bundle.module.state_dict().items())
    torch.save(bundle.module, path)
    with pytest.raises(InvalidFileError, match=r"cannot be read as tensors .*save the state_dict alone"):
        load(path)


def test_a_checkpoint_is_opened_by_its_key_and_names_lose_their_prefixes(tmp_path):
    path = tmp_path / "w.pth"
    inside = {f"module.encoder.{name}": tensor for name, tensor in state().items()} | {"module.other": torch.zeros(1)}
    torch.save({"epoch": 3, "ema": {"state_dict": inside}}, path)
    for prefix in ("encoder.", "module.encoder."):
        bundle = load(path, weights_key="ema.state_dict", weights_prefix=prefix)
        assert all(torch.equal(tensor, state()[name]) for name, tensor in bundle.module.state_dict().items())
    with pytest.raises(
        UsageError,
        match=r"weights_key has to say where the tensors are: '.*' is not a mapping of .*; there are epoch, ema",
    ):
        load(path)
    with pytest.raises(UsageError, match=r"has no key 'emma': there are epoch, ema; did you mean 'ema'\?"):
        load(path, weights_key="emma")
    with pytest.raises(UsageError, match=r"begins with 'decoder\.'"):
        load(path, weights_key="ema.state_dict", weights_prefix="decoder.")


def test_a_head_for_other_classes_is_left_out_on_request_alone(tmp_path):
    path = tmp_path / "w.safetensors"
    head = list(state())[-1].rpartition(".")[0]
    save_file(state(**{f"{head}.weight": torch.zeros(7, 4), f"{head}.bias": torch.zeros(7)}), path)
    with pytest.raises(InvalidFileError, match=rf"2 of another shape .*weights_ignore \(--weights-ignore\): {head}"):
        load(path)
    own = resolve_model("mlp", seed=0, options=SMALL).module.state_dict()
    loaded = load(path, weights_ignore=[head]).module.state_dict()
    for name, tensor in loaded.items():
        assert torch.equal(tensor, own[name] if name.startswith(head) else state()[name])
    with pytest.raises(UnknownNameError, match="weight pattern 'classifier'"):
        load(path, weights_ignore=["classifier"])


def test_weights_of_another_model_are_not_to_be_ignored_one_by_one(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"conv.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(
        InvalidFileError, match=r"1 unexpected \(conv\.weight\).*Nothing fits: they are of another model"
    ):
        load(path)
