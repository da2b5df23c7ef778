"""What a first user tries and gets wrong in the first minutes: each ends with a message that helps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPRODUCTION = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")


@pytest.fixture
def artifact(program):
    done = program("apply", "mlp", "--density", "5%", "-o", "pruned", "--json")
    assert done.code == 0
    assert json.loads(done.stdout)["density"] == 0.05
    return Path("pruned")


@pytest.mark.parametrize("command", ["verify", "bench", "inspect"])
def test_a_folder_in_the_place_of_a_file_says_what_makes_one(program, artifact, command):
    done = program(command, str(artifact), *(["--skip-length", "2"] if command == "inspect" else []))
    assert done.code in {2, 3, 4}
    assert "protobuf" not in done.stderr
    assert "this is a bug" not in done.stderr
    assert command == "inspect" or "`n2nsurgery export pruned` makes an .onnx file" in done.stderr


def test_options_of_a_model_are_refused_for_a_file(program, artifact):
    assert program("export", str(artifact), "-o", "file.onnx", "-q").code == 0
    done = program("inspect", "file.onnx", "--skip-length", "2")
    assert done.code == 2
    assert "--skip-length" in done.stderr


@pytest.mark.parametrize("given", ["model.pt", "microsoft/resnet-50", "folder/net.pth", "my_module:MyNet"])
def test_a_path_or_a_name_of_a_hub_is_not_taken_for_a_misspelled_model(program, given):
    done = program("apply", given, "--density", "0.05")
    assert done.code == 2
    assert "did you mean" not in done.stderr
    assert "bug" not in done.stderr


def test_the_shape_that_a_model_lacks_is_told_with_the_flag(program, here):
    (here / "net.py").write_text("from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Linear(8, 8))\n")
    done = program("apply", "net.py:make", "--density", "0.5")
    assert done.code == 2
    assert "--input-size" in done.stderr
    for size in ("8", "3x32x32", "3,32,32"):
        shaped = program("inspect", "net.py:make", "--input-size", size)
        assert (shaped.code == 0) == (size == "8"), shaped.stderr
        assert "--input-size is" not in shaped.stderr


def test_ways_of_sharing_are_listed_without_data(program):
    done = program("sweep", "recipe:morse", "--density", "25%", "--list")
    assert done.code == 0, done.stderr
    assert done.stdout


def test_a_network_that_was_just_cut_is_called_cut_once(program):
    done = program("apply", "cifar-vgg19", "--density", "0.0005", "--allocation", "uniform", "--skip", "none", "--json")
    told = json.loads(done.stdout)["warnings"] if done.code == 0 else [done.stderr]
    cut = [line for line in told if "cut" in line or "keep-alive" in line or "floor" in line]
    assert cut
    assert len(cut) == len(set(cut))


def test_accuracies_in_readme_are_those_of_the_page_with_the_command():
    rows = re.findall(r"^\| ([^|]+) \| (\d\d\.\d\d) \| ", README, re.MULTILINE)
    assert len(rows) == 8
    assert rows[0][0].startswith("none: the default")
    means = re.findall(r"\| (\d\d\.\d\d)(?: ± [\d.]+)? \| \d+ \| [\d,]+ \|", REPRODUCTION)
    assert {accuracy for _, accuracy in rows} <= set(means)
