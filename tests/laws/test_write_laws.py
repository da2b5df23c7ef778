"""Laws of writing: whatever goes wrong while a file is written, either what was there is whole or what is new.

Every writer of the package meets every fault of a disk. No hidden file is left, and one message names the target. A
process that is killed can leave a hidden file, and nothing that another program would take for a result.
"""

from __future__ import annotations

import ast
import errno
import os
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import n2nsurgery
from n2nsurgery.core import files
from n2nsurgery.core.errors import RunError
from n2nsurgery.core.files import atomic_file, atomic_folder, write_text
from n2nsurgery.experiments.paper.reproduce import run as reproduce
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.export.files.onnx_file import ModelFiles, staged
from n2nsurgery.pipelines.connectivity.diff import run as run_diff
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.report import run as run_report
from n2nsurgery.pipelines.training.run_recipe import write_recipe
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.training.metrics.metrics import write_metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pruned():
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return n2nsurgery.apply(network, example_inputs=torch.zeros(2, 64), density=0.3)


@pytest.fixture(scope="module")
def small_onnx(tmp_path_factory):
    """A product with a sparse matrix, from elsewhere."""
    path = tmp_path_factory.mktemp("onnx") / "foreign.onnx"
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((64, 64)) * (rng.random((64, 64)) < 0.05)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 64]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def report_to(path, small_onnx):
    run_report(GraphRequest(model=str(small_onnx)), output=path, overwrite=True)


WRITERS = {
    "artifact": lambda path, pruned, _: pruned.save(path, overwrite=True),
    "export.onnx": lambda path, pruned, _: n2nsurgery.export_onnx(pruned, path, overwrite=True),
    "compress.onnx": lambda path, _, onnx: n2nsurgery.compress(onnx, path, overwrite=True),
    "report.html": lambda path, _, onnx: report_to(path, onnx),
    "report.json": lambda path, _, onnx: report_to(path, onnx),
    "report.png": lambda path, _, onnx: report_to(path, onnx),
    "diff.html": lambda path, _, onnx: run_diff(
        GraphRequest(model=str(onnx)), GraphRequest(model=str(onnx)), html=True, output=path, overwrite=True
    ),
    "recipe.yaml": lambda path, *_: write_recipe(path.parent, read_recipe(ROOT / "recipes" / "smoke.yaml")),
    "metrics.jsonl": lambda path, *_: write_metrics(path.parent, ()),
    "predefined-table1.json": lambda path, *_: reproduce("predefined-table1", ExperimentConfig(folder=path.parent)),
    "page.md": lambda path, *_: write_text(path, "a page\n"),
}


def raising(number):
    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fail


def full_while_flushing(patch):
    patch.setattr(os, "fsync", raising(errno.ENOSPC))


def quota_while_flushing(patch):
    patch.setattr(os, "fsync", raising(errno.EDQUOT))


def forbidden_to_rename(patch):
    for name in ("rename", "replace"):
        patch.setattr(Path, name, raising(errno.EACCES))
    patch.setattr(files, "_swapped", lambda *_: False)


def broken_while_renaming(patch):
    for name in ("rename", "replace"):
        patch.setattr(Path, name, raising(errno.EIO))
    patch.setattr(files, "_swapped", lambda *_: False)


FAULTS = [full_while_flushing, quota_while_flushing, forbidden_to_rename, broken_while_renaming]


def content(folder):
    """Every file below `folder` with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def old(path, name):
    """Something of the kind that the writer replaces."""
    if name == "artifact":
        path.mkdir()
        (path / "manifest.json").write_text("old")
    else:
        path.write_text("old")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_leaves_what_was_there_and_one_message(name, fault, pruned, small_onnx, tmp_path):
    path = tmp_path / "here" / name
    path.parent.mkdir()
    old(path, name)
    before = content(path.parent)
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        with pytest.raises(RunError) as raised:
            WRITERS[name](path, pruned, small_onnx)
    assert content(path.parent) == before
    told = str(raised.value)
    assert f"'{path}'" in told
    assert ".staging-" not in told


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
@pytest.mark.parametrize("name", ["artifact", "report.html", "report.json", "metrics.jsonl"])
def test_a_file_that_may_not_grow_leaves_what_was_there(name, pruned, small_onnx, tmp_path):
    import resource

    path = tmp_path / "here" / name
    path.parent.mkdir()
    old(path, name)
    before = content(path.parent)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    WRITERS[name](tmp_path / name, pruned, small_onnx)  # what is loaded on the way is there afterwards
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        if name == "metrics.jsonl":
            with pytest.raises(RunError) as raised, atomic_file(path, overwrite=True) as staging:
                staging.write_text("x" * 100)
        else:
            with pytest.raises(RunError) as raised:
                WRITERS[name](path, pruned, small_onnx)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(path.parent) == before
    assert f"'{path}'" in str(raised.value)


@pytest.mark.parametrize("name", WRITERS)
def test_an_interrupted_write_leaves_what_was_there(name, pruned, small_onnx, tmp_path):
    path = tmp_path / "here" / name
    path.parent.mkdir()
    old(path, name)
    before = content(path.parent)

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            WRITERS[name](path, pruned, small_onnx)
    assert content(path.parent) == before


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_goes_well_replaces_what_was_there_and_leaves_nothing_else(name, pruned, small_onnx, tmp_path):
    path = tmp_path / "here" / name
    path.parent.mkdir()
    old(path, name)
    WRITERS[name](path, pruned, small_onnx)
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]
    assert (path / "manifest.json" if path.is_dir() else path).read_bytes() != b"old"


def write_file(folder):
    with atomic_file(folder / "result", overwrite=True) as staging:
        staging.write_text("new")


def write_folder(folder):
    with atomic_folder(folder / "result", overwrite=True, marker="manifest.json") as staging:
        (staging / "manifest.json").write_text("new")


def write_model(folder):
    with staged(ModelFiles(model=folder / "result"), overwrite=True) as staging:
        staging.model.write_text("new")


STEPS = {"flush": (os, "fsync"), "rename": (os, "rename"), "replace": (os, "replace"), "swap": (files, "_swapped")}


def killed_at(write, folder, step, *, after):
    """Whether a process that writes into `folder` reached `step`, at which it is killed; `after` it is done."""
    child = os.fork()
    if child == 0:
        owner, name = STEPS[step]
        original = getattr(owner, name)

        def die(*arguments, **options):
            if after:
                original(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, die)
        try:
            write(folder)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("write", [write_file, write_folder, write_model])
def test_a_process_that_is_killed_leaves_the_old_or_the_new(write, step, after, tmp_path):
    old(tmp_path / "result", "artifact" if write is write_folder else "file")
    killed = killed_at(write, tmp_path, step, after=after)
    visible = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    result = tmp_path / "result"
    assert visible == ["result"]
    written = (result / "manifest.json" if result.is_dir() else result).read_text()
    assert written in {"old", "new"}
    assert killed or written == "new"
    write(tmp_path)  # what was left does not stand in the way of the next
    assert (result / "manifest.json" if result.is_dir() else result).read_text() == "new"


def unstaged_writes(module):
    """The lines of a source that write a file by other means than a staging file."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        receiver, name = ast.unparse(node.func.value), node.func.attr
        opened = name == "open" and any(ast.unparse(each).strip("'\"")[:1] in {"w", "a", "x"} for each in node.args)
        if (name in {"write_text", "write_bytes"} or opened) and "staging" not in receiver and receiver != "path":
            yield f"line {node.lineno}: {ast.unparse(node)[:60]}"


def test_no_source_writes_a_file_by_other_means():
    """`path` is the name of files inside a staging folder; runtime/build writes a probe for the compiler."""
    sources = [path for folder in ("n2nsurgery", "cli") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if (lines := list(unstaged_writes(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found.keys() <= {"n2nsurgery/runtime/build.py"}, found


@pytest.mark.parametrize("planted", ["output.write_text('a')", "target.open('w')", "file.write_bytes(b'')"])
def test_a_planted_write_is_found(planted):
    assert len(list(unstaged_writes(ast.parse(planted)))) == 1
