"""The command line from end to end, on files: apply, inspect, export; and every failure with its message and code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import SafetensorError

from n2nsurgery import load
from n2nsurgery.core import sealed_folder

APPLY = ("apply", "mlp", "--density", "0.05")

MODELS = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if index == 0 else 4, 4, 3, padding=1) for index in range(5))

    def forward(self, x):
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x.mean((2, 3))


class Branching(Tiny):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x
"""


@pytest.fixture
def here_with_models(here, monkeypatch) -> Path:
    """A module with models of our own, where Python finds it."""
    (here / "flow_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(here)
    yield here / "flow_models.py"
    sys.modules.pop("flow_models", None)


@pytest.fixture
def artifact(program) -> Path:
    """An artifact below the working directory, made by the command line."""
    return Path(program(*APPLY, "-q").stdout.strip())


FILES = ["manifest.json", "masks.safetensors", "model.safetensors", "plan.json", "record.json", "values.safetensors"]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_from_a_name_to_a_file_that_onnx_runtime_computes(program, here):
    applied = program("apply", "mlp", "--density", "0.05", "--skip-ratio", "0.1", "--seed", "3", "--json")
    assert applied.code == 0
    document = json.loads(applied.stdout)
    folder = here / document["artifact"]
    assert (document["nnz_total"], document["nnz_skip"]) == (87_245, 8_724)
    assert files(folder) == FILES

    inspected = program("inspect", document["artifact"], "--json")
    assert json.loads(inspected.stdout) | {"already_there": False} == document

    exported = program("export", "--onnx", "--json")
    assert exported.code == 0
    report = json.loads(exported.stdout)
    assert (report["artifact"], report["onnx"]) == (document["artifact"], f"{document['artifact']}.onnx")
    assert report["max_relative_difference"] <= report["tolerance"]

    x = torch.randn(3, 3072, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load(folder).module.eval()(x).numpy()
    session = onnxruntime.InferenceSession(report["onnx"], providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {"x": x.numpy()})
    # Sums of single-precision products in another order; outputs are of the order of 0.1.
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    assert expected.std(axis=0).max() > 1e-3  # an output that does not depend on its input would prove nothing
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["n2nsurgery"])
    assert metadata["summary"]["mask_fingerprint"] == document["mask_fingerprint"]


def test_the_same_command_gives_the_same_masks_and_another_seed_others(program):
    first, again, other = (
        json.loads(program(*APPLY, "--seed", seed, "--output", name, "--json").stdout)
        for seed, name in (("1", "a"), ("1", "b"), ("2", "c"))
    )
    assert first["mask_fingerprint"] == again["mask_fingerprint"] != other["mask_fingerprint"]


def test_the_newest_artifact_is_exported_and_another_by_its_name(program, artifact):
    program("apply", "mlp", "--density", "0.01", "-o", "exported/newer")
    assert program("export", "--onnx", "-q").stdout == "exported/newer.onnx\n"
    assert program("export", "--onnx", str(artifact), "-o", "mine.onnx", "-q").stdout == "mine.onnx\n"


@pytest.mark.parametrize("synonym", [("--sparsity", "0.95"), ("--compression", "20")])
def test_three_words_for_one_budget(program, synonym):
    by_density = json.loads(program(*APPLY, "--dry-run", "--json").stdout)
    by_synonym = json.loads(program("apply", "mlp", *synonym, "--dry-run", "--json").stdout)
    assert by_synonym == by_density
    assert (by_density["density"], by_density["sparsity"], by_density["compression"]) == (0.05, 0.95, 20)


def test_a_dry_run_prints_the_plan_and_writes_nothing(program, here):
    finished = program(*APPLY, "--dry-run")
    assert finished.code == 0
    assert "nothing was written" in finished.stdout
    assert "87,245 of 1,744,896" in finished.stdout
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("criterion", ["rp", "csp", "magnitude", "grasp"])
def test_the_papers_names_and_the_others_work(program, criterion):
    finished = program(*APPLY, "--criterion", criterion, "--batch-size", "8", "--json")
    assert finished.code == 0, finished.stderr
    assert json.loads(finished.stdout)["nnz_total"] == 87_245


def test_noise_in_the_place_of_data_is_said_on_stderr_and_in_the_document(program):
    finished = program(*APPLY, "--criterion", "snip", "--batch-size", "8", "--json")
    assert "has no data: it scores seeded noise" in finished.stderr
    assert json.loads(finished.stdout)["data"] == "noise(seed=0,batch_size=8,count=1)"


@pytest.mark.usefixtures("here_with_models")
def test_code_is_imported_again_only_where_that_is_allowed(program):
    folder = program("apply", "flow_models:Tiny", "--density", "0.5", "--input-size", "3x8x8", "-q").stdout.strip()
    barred = program("export", "--onnx", folder)
    assert barred.code == 2
    assert "--allow-import" in barred.stderr
    assert program("export", "--onnx", folder, "--allow-import").code == 0


WRONG = {
    "an unknown model": (("apply", "resnet81", "--density", "0.05"), 2, "did you mean 'resnet18'?"),
    "a density of 0": (("apply", "mlp", "--density", "0"), 2, "--density is 0.0; it must be in (0, 1]"),
    "a density of 1.5": (("apply", "mlp", "--density", "1.5"), 2, "--density is 1.5; it must be in (0, 1]"),
    "a skip ratio of 1": ((*APPLY, "--skip-ratio", "1"), 2, "--skip-ratio is 1.0; it must be in [0, 1) or 'auto'"),
    "an unknown criterion": ((*APPLY, "--criterion", "snib"), 2, "did you mean 'snip'?"),
    "a pattern that matches nothing": ((*APPLY, "--include", "layer.0"), 2, "did you mean 'layers.0'?"),
    "a budget that does not fit": (
        ("apply", "mlp", "--density", "1", "--skip-ratio", "0.9", "--skip-length", "3"),
        2,
        "1,570,406 weights are to go into",
    ),
    "an option that the criterion lacks": (
        (*APPLY, "--criterion", "grasp", "--scope", "layer"),
        2,
        "--scope does not go with",
    ),
    "an artifact that is none": (("export", "--onnx", "nowhere"), 3, "'nowhere' is not a folder"),
    "no artifact at all": (("export", "--onnx"), 3, "make one with `n2nsurgery apply`"),
    "a model to inspect that is none": (("inspect", "mpl"), 2, "did you mean 'mlp'?"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_message_with_its_code(program, here, arguments, code, message):
    finished = program(*arguments)
    assert (finished.code, finished.stdout) == (code, "")
    require_one_message(finished.stderr, message)
    assert list(here.iterdir()) == []


def require_one_message(stderr: str, message: str) -> None:
    """One error, its text, and nothing that only a developer can read."""
    assert stderr.startswith("error: ")
    assert stderr.count("error: ") == 1
    assert message in stderr
    assert "Traceback" not in stderr
    assert "bug" not in stderr


@pytest.mark.usefixtures("here_with_models")
def test_a_model_that_cannot_be_traced_is_5_and_names_the_line(program):
    finished = program(
        "apply", "flow_models:Branching", "--density", "0.5", "--input-size", "3x8x8", "--engine", "rewrite"
    )
    assert finished.code == 5
    require_one_message(finished.stderr, "Branching cannot be traced: ")
    assert "flow_models.py:19" in finished.stderr


def test_an_existing_output_is_2_and_stays_as_it_is(program, here, artifact):
    (here / "notes").mkdir()
    (here / "notes" / "thesis.tex").write_text("precious")
    before = files(here)
    again = (*APPLY, "--seed", "1", "-o", str(artifact))
    for arguments in (again, (*APPLY, "-o", "notes"), (*APPLY, "-o", "notes", "--overwrite")):
        finished = program(*arguments)
        assert finished.code == 2
        require_one_message(finished.stderr, "choose another output")
    assert files(here) == before
    assert program(*APPLY, "--overwrite").code == 0
    assert load(artifact).masks


def test_an_existing_export_is_2_and_stays_as_it_is(program, artifact):
    Path("mine.onnx").write_text("precious")
    finished = program("export", "--onnx", str(artifact), "-o", "mine.onnx")
    assert finished.code == 2
    require_one_message(finished.stderr, "'mine.onnx' already exists")
    assert Path("mine.onnx").read_text() == "precious"


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip], ids=["missing", "truncated", "altered"])
@pytest.mark.parametrize("name", [name for name in FILES if name != "record.json"])
def test_a_damaged_artifact_is_3_and_names_the_file(program, artifact, damage: Callable[[Path], None], name):
    damage(artifact / name)
    exported = program("export", "--onnx", str(artifact))
    assert exported.code == 3
    require_one_message(exported.stderr, name)
    assert not artifact.with_name(f"{artifact.name}.onnx").exists()
    if name == "manifest.json" and damage is Path.unlink:
        return  # without its manifest it is no artifact but a name that no model has
    inspected = program("inspect", str(artifact))
    assert inspected.code == 3
    require_one_message(inspected.stderr, name)


def test_a_disk_that_is_too_small_is_1_before_anything_is_written(program, here, monkeypatch):
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    finished = program(*APPLY)
    assert finished.code == 1
    require_one_message(finished.stderr, "no space left in")
    assert files(here) == []


def test_a_disk_that_fills_up_is_1_and_leaves_nothing(program, here, monkeypatch):
    def full(_tensors, path):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(sealed_folder, "save_file", full)
    finished = program(*APPLY)
    assert finished.code == 1
    require_one_message(finished.stderr, "no space left while writing")
    assert files(here) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_1(program, here):
    (here / "exported").mkdir(mode=0o500)
    finished = program(*APPLY)
    assert finished.code == 1
    require_one_message(finished.stderr, "cannot write 'exported/")


def test_the_program_is_installed_and_prints_one_document(here):
    command = [sys.executable, "-m", "n2nsurgery", *APPLY, "--json", "--criterion", "snip", "--batch-size", "8"]
    finished = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    document = json.loads(finished.stdout)
    assert document["nnz_total"] == 87_245
    assert "Traceback" not in finished.stderr
    assert files(here / document["artifact"])
