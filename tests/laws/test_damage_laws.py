"""Laws of damaged input: whatever a file or a command line holds, it is taken, or refused in words for the user.

An InternalError, or an error that is not ours, is a fault of the program. CONTRIBUTING.md has the command that tries
thousands of cases.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import n2nsurgery
from n2nsurgery.core.errors import CallerError
from n2nsurgery.core.files import sha256
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.sealed_folder import MANIFEST
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.report import run as run_report
from n2nsurgery.pipelines.prune.inspect import run as run_inspect
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.artifact import read as read_artifact
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery_cli.main import main

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SLOW = settings(max_examples=settings().max_examples // 4)

edits = st.lists(
    st.tuples(st.sampled_from(["flip", "set", "cut", "put"]), st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, wanted, *, within=None) -> bytes:
    """`data` with bits flipped, bytes set, and pieces cut out or put in, among its first `within` bytes."""
    found = bytearray(data)
    for kind, place, value in wanted:
        at = int(place * min(len(found), within or len(found)))
        if kind == "flip" and found:
            found[at] ^= 1 << value % 8
        elif kind == "set" and found:
            found[at] = value
        elif kind == "cut":
            del found[at : at + value % 30]
        else:
            found[at:at] = bytes([value]) * (value % 20)
    return bytes(found)


def taken_or_refused(read, *arguments):
    """Call `read`; a refusal has to be one for the caller, with words."""
    try:
        read(*arguments)
    except CallerError as error:
        told = str(error)
        assert told


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def pruned():
    """A small network with a skip, a BatchNorm and a sum."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8, 8))
            self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)

        def forward(self, x):
            first = torch.relu(self.a(x))
            second = torch.relu(self.norm(self.b(first)))
            return self.head(torch.relu(self.c(second) + first).mean((2, 3)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Small()
    return n2nsurgery.apply(network, example_inputs=torch.zeros(2, 3, 8, 8), density=0.3)


@pytest.fixture(scope="module")
def onnx_bytes(pruned, folder):
    n2nsurgery.export_onnx(pruned, folder / "whole.onnx")
    return (folder / "whole.onnx").read_bytes()


@given(recipe=st.sampled_from(RECIPES), wanted=edits)
def test_a_damaged_recipe_is_read_or_refused(folder, recipe, wanted):
    path = folder / "damaged.yaml"
    path.write_bytes(damaged(recipe.read_bytes(), wanted))
    taken_or_refused(read_recipe, path)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


def replaced(document, path, value):
    """`document` with `value` where the numbers in `path` lead; each chooses a member of what it meets."""
    if not path or not isinstance(document, dict | list) or not document:
        return value
    if isinstance(document, dict):
        key = sorted(document)[path[0] % len(document)]
        return document | {key: replaced(document[key], path[1:], value)}
    at = path[0] % len(document)
    return [*document[:at], replaced(document[at], path[1:], value), *document[at + 1 :]]


@given(path=st.lists(st.integers(0, 100), max_size=5), value=values)
def test_a_plan_with_another_value_somewhere_is_read_or_refused(pruned, path, value):
    plan = json.loads(json.dumps(pruned.plan.to_json()))
    taken_or_refused(SurgeryPlan.from_json, replaced(plan, path, value))


@SLOW
@given(name=st.sampled_from(["masks.safetensors", "values.safetensors", "model.safetensors"]), wanted=edits)
def test_an_artifact_with_damaged_tensors_under_a_valid_seal_is_read_or_refused(pruned, folder, name, wanted):
    if not (folder / "whole").is_dir():
        pruned.save(folder / "whole")
    shutil.rmtree(folder / "damaged", ignore_errors=True)
    shutil.copytree(folder / "whole", folder / "damaged")
    path = folder / "damaged" / name
    path.write_bytes(damaged(path.read_bytes(), wanted, within=2000))  # the header, and the first of the values
    manifest = json.loads((folder / "damaged" / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    del manifest["sha256"]
    (folder / "damaged" / MANIFEST).write_text(json.dumps(manifest | {"sha256": fingerprint(manifest)}))
    taken_or_refused(read_artifact, folder / "damaged")


@SLOW
@given(wanted=edits)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # weights may have become infinite, and their squares
def test_a_damaged_onnx_file_is_inspected_and_reported_on_or_refused(onnx_bytes, folder, wanted):
    path = folder / "damaged.onnx"
    path.write_bytes(damaged(onnx_bytes, wanted))
    taken_or_refused(run_inspect, str(path))
    taken_or_refused(run_report, GraphRequest(model=str(path)))


COMMANDS = ["apply", "inspect", "export", "report", "diff", "verify", "bench", "eval", "recipe", "train"]
WORDS = st.sampled_from(
    [
        *("--density", "--sparsity", "--criterion", "--skip", "--skip-length", "--fan-out", "--input-size", "--pairs"),
        *("--set", "--resume", "--output", "-o", "--json", "-q", "--help", "--gpus", "--html", "--format", "--threads"),
        *("check", "init", "0.5", "5%", "-1", "nan", "a=b", "3x32x32", "no-such-model", "recipe:none", "no/such.onnx"),
        *("none", "x" * 10_000, "[red]name[/red]", "two\nlines", "\N{SNOWMAN}", "", "--", "re:("),
    ]
)


@SLOW
@given(command=st.sampled_from(COMMANDS), words=st.lists(WORDS | st.text(max_size=6), max_size=5))
def test_any_command_line_ends_with_a_code_and_no_call_for_a_bug_report(folder, command, words):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(logging.getLogger("n2nsurgery"), "level", logging.NOTSET)
        patch.setattr(sys, "argv", ["n2nsurgery", command, *words])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code in {0, 2, 3, 4}, [command, *words]
