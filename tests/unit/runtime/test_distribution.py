"""n2nsurgery-runtime, the distribution without the rest of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from n2nsurgery.runtime.build import LIBRARY_NAME

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "packages" / "n2nsurgery-runtime"
PROGRAM = """
import json, sys
import onnxruntime
import n2nsurgery_runtime as runtime
options = onnxruntime.SessionOptions()
runtime.register(options)
runtime.register(options)
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(json.dumps([runtime.instruction_set(), sorted({"torch", "onnx", "n2nsurgery"} & set(sys.modules))]))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with y = relu(x)."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_it_registers_the_kernels_without_torch_or_the_whole_package(
    library: Path, model: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "site" / "n2nsurgery_runtime"
    shutil.copytree(PACKAGE / "n2nsurgery_runtime", installed)
    shutil.copy(library, installed / LIBRARY_NAME)
    for source, name in wheel()["force-include"].items():
        shutil.copy(PACKAGE / source, installed.parent / name)
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, model], env=os.environ | {"PYTHONPATH": str(installed.parent)},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    instructions, others = json.loads(finished.stdout)
    assert instructions in {"avx512", "avx2", "neon", "portable"}
    assert others == []


def wheel() -> dict[str, dict[str, str]]:
    """What its pyproject.toml says of the wheel."""
    document = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    assert document["project"]["dependencies"] == ["onnxruntime>=1.20"]
    found: dict[str, dict[str, str]] = document["tool"]["hatch"]["build"]["targets"]["wheel"]
    return found
