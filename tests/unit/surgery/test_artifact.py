from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from n2nsurgery import PrunedModel, apply, load
from n2nsurgery.core.errors import InvalidFileError, UsageError, VerificationError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.sealed_folder import MANIFEST, sha256, write_sealed
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.masks.store import pack
from n2nsurgery.surgery.artifact import read, revive
from n2nsurgery.surgery.artifact_files import tensor_sets


@pytest.fixture
def folder(pruned, tmp_path) -> Path:
    return pruned.save(tmp_path / "artifact")


def trained(pruned: PrunedModel, images: Tensor, labels: Tensor) -> PrunedModel:
    optimizer = torch.optim.SGD(pruned.module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(pruned.module(images), labels).backward()
        optimizer.step()
    return pruned


def require_same(one: PrunedModel, other: PrunedModel, images: Tensor) -> None:
    state = one.module.state_dict()
    assert list(other.module.state_dict()) == list(state)
    for name, tensor in other.module.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name]), name
    assert (other.masks, other.plan, other.record) == (one.masks, one.plan, one.record)
    for training in (False, True):
        assert torch.equal(other.module.train(training)(images), one.module.train(training)(images))


OPTIONS = {
    "one-to-one": {},
    "remainder": {"skip_ratio": 0.2},
    "random with norm": {"skip_ratio": 0.3, "skip_pattern": "random", "skip_norm": "always"},
    "residual": {"skip": "residual"},
    "none": {"skip": "none"},
    "snip": {"criterion": "snip"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_what_is_loaded_is_what_was_saved_to_the_bit(either, tmp_path, images, labels, options):
    pruned = trained(apply(either, density=0.5, example_inputs=images, **options), images, labels)
    pruned.save(tmp_path / "artifact")
    require_same(pruned, load(tmp_path / "artifact", either), images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_of_the_network_survives(plain, tmp_path, images, dtype):
    pruned = apply(plain.to(dtype), density=0.3, example_inputs=images.to(dtype))
    pruned.save(tmp_path / "artifact")
    require_same(pruned, load(tmp_path / "artifact", plain), images.to(dtype))


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 6), nn.Linear(6, 6)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(torch.relu(self.encoder(x)))


def test_a_shared_weight_is_one_parameter_before_and_after(tmp_path):
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    pruned = apply(Tied(), density=0.5, example_inputs=x)
    assert list(pruned.masks) == ["encoder.weight"]
    assert pruned.module.encoder.weight is pruned.module.decoder.weight
    pruned.save(tmp_path / "artifact")
    loaded = load(tmp_path / "artifact", Tied())
    require_same(pruned, loaded, x)
    assert loaded.module.encoder.weight is loaded.module.decoder.weight


def test_an_artifact_stores_kept_values_alone_and_all_files_may_be_read_alike(plain, tmp_path, images):
    before = os.umask(0o027)
    try:
        pruned = apply(plain, density=0.1, example_inputs=images)
        folder = pruned.save(tmp_path / "artifact")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}
    values = load_file(folder / "values.safetensors")
    assert {name: len(kept) for name, kept in values.items()} == pruned.masks.counts
    assert not values.keys() & load_file(folder / "model.safetensors").keys()


def test_an_artifact_with_all_weights_in_one_file_loads_as_well(pruned, tmp_path, plain, images):
    documents = {"plan": pruned.plan.to_json(), "record": pruned.record.to_json()}
    tensors = {"model": pruned.module.state_dict(), "masks": pack(pruned.masks)}
    write_sealed(tmp_path / "artifact", documents=documents, tensors=tensors)
    require_same(pruned, load(tmp_path / "artifact", plain), images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: {**values, "other": torch.zeros(2)}, "the kept values of 'other' have no mask"),
        (lambda values: {**values, "conv1.weight": torch.zeros(1)}, r"'conv1.weight' has kept values of shape \(1,\)"),
    ],
)
def test_kept_values_that_do_not_fit_their_masks_are_refused(pruned, tmp_path, plain, change, message):
    documents = {"plan": pruned.plan.to_json(), "record": pruned.record.to_json()}
    sets = tensor_sets(pruned.module.state_dict(), pruned.masks)
    write_sealed(tmp_path / "artifact", documents=documents, tensors={**sets, "values": change(sets["values"])})
    with pytest.raises(InvalidFileError, match=message):
        load(tmp_path / "artifact", plain)


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(pruned, folder):
    with pytest.raises(UsageError, match="already exists"):
        pruned.save(folder)
    assert pruned.save(folder, overwrite=True) == folder
    (folder / "small.onnx").touch()
    with pytest.raises(UsageError, match=r"also holds 'small\.onnx'"):
        pruned.save(folder, overwrite=True)
    assert (folder / "small.onnx").exists()


def test_weights_that_an_optimizer_has_revived_are_not_saved(pruned, tmp_path):
    with torch.no_grad():
        pruned.module.conv1.weight.add_(1)
    zeros = int((~pruned.masks["conv1.weight"]).sum())
    message = rf"{zeros} pruned weights are no longer zero \(in 'conv1\.weight'\).*enforce\(optimizer\)"
    with pytest.raises(VerificationError, match=message):
        pruned.save(tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


def test_documents_are_readable_without_this_package(pruned, folder):
    plan = json.loads((folder / "plan.json").read_text())
    record = json.loads((folder / "record.json").read_text())
    assert fingerprint(plan) == pruned.plan.fingerprint == record["plan"]
    assert record["masks"] == pruned.masks.fingerprint
    assert sum(line["kept"] for line in record["kept"]) == plan["budget"]["total"]


def rewrite(folder: Path, name: str, value: object) -> None:
    """Put another document in the artifact's place and vouch for it, as whoever builds one by hand would."""
    (folder / name).write_text(json.dumps(value))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
    del manifest["sha256"]
    (folder / MANIFEST).write_text(json.dumps({**manifest, "sha256": fingerprint(manifest)}))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("plan.json", {"schema": 99}, r"plan\.json' has schema 99; this version reads up to 2: upgrade it"),
        ("plan.json", {"surprise": 1}, r"plan\.json': unknown keys \['surprise'\]"),
        ("plan.json", {"weights": 1}, r"plan\.json'\.weights is 1; a list is needed"),
        ("record.json", {"surprise": 1}, r"record\.json': unknown keys \['surprise'\]"),
        ("record.json", {"plan": "0" * 64}, "artifact': plan, record and masks do not belong together"),
        ("plan.json", {"structure": "0" * 64}, "artifact': plan, record and masks do not belong together"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_files_name(folder, plain, name, change, message):
    rewrite(folder, name, json.loads((folder / name).read_text()) | change)
    with pytest.raises(InvalidFileError, match=message):
        load(folder, plain)


@pytest.mark.parametrize("density", [0, 7, -1])
def test_a_plan_with_values_out_of_range_is_an_invalid_file(folder, plain, density):
    plan = json.loads((folder / "plan.json").read_text())
    plan["config"]["density"] = density
    rewrite(folder, "plan.json", plan)
    with pytest.raises(InvalidFileError, match=rf"plan\.json' holds an impossible request: density is {density}"):
        load(folder, plain)


def test_masks_of_another_shape_are_an_invalid_file(folder, plain):
    plan = json.loads((folder / "plan.json").read_text())
    plan["weights"][0]["shape"] = [8, 3, 3, 30]
    rewrite(folder, "plan.json", plan)
    with pytest.raises(InvalidFileError, match=r"conv0\.weight"):
        load(folder, plain)


def test_the_folder_alone_tells_plan_record_and_masks(pruned, folder):
    artifact = read(folder)
    assert (artifact.plan, artifact.record, artifact.masks) == (pruned.plan, pruned.record, pruned.masks)


def test_errors_of_the_model_name_the_folder(folder, residual, images):
    with pytest.raises(InvalidFileError, match=rf"'{folder}': this model is not the one that was pruned"):
        revive(read(folder), lambda _: trace(residual, (images,)))
