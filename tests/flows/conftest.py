"""The program in an empty working directory, run inside the test: its exit code and what it wrote."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.core.errors import N2NSurgeryError
from n2nsurgery.data.files.location import data_root
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery_cli.main import main


@dataclass(frozen=True, kw_only=True)
class Finished:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def foreign_network(here) -> Path:
    """`model.onnx` in the working directory: one layer that another tool has pruned to a twentieth."""
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((128, 128)) * (rng.random((128, 128)) < 0.05)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 128]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), here / "model.onnx")
    return here / "model.onnx"


@pytest.fixture
def program(here, monkeypatch, capsys) -> Callable[..., Finished]:  # noqa: ARG001 - it works there
    """Call with the arguments of `n2nsurgery`."""
    monkeypatch.setattr(logging.getLogger("n2nsurgery"), "level", logging.NOTSET)

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["n2nsurgery", *arguments])
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        written = capsys.readouterr()
        return Finished(code=exit_of_main.value.code, stdout=written.out, stderr=written.err)

    return run


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """A folder in which CIFAR-10 is found: the data folder, or one beside the checkout."""
    data_set = DATA_SETS.get("cifar10")
    folders = (data_root(None).absolute(), Path(__file__).parents[2].parent / "shared" / "data")
    for folder in folders:
        try:
            data_set(train_limit=10).load(folder, download=False, seed=0)
        except N2NSurgeryError:
            continue
        return folder
    pytest.skip(f"CIFAR-10 is in none of {', '.join(map(str, folders))}")
