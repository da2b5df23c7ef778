"""n2nsurgery-runtime, the distribution without the rest of the package."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from n2nsurgery.runtime.build import LIBRARY_NAME, SOURCES, source_fingerprint

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
    shutil.copy(SOURCES.parent / "registration.py", installed)
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, model], env=os.environ | {"PYTHONPATH": str(installed.parent)},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    instructions, others = json.loads(finished.stdout)
    assert instructions in {"avx512", "avx2", "neon", "portable"}
    assert others == []


def test_the_source_distribution_holds_all_that_the_library_is_compiled_from(tmp_path: Path) -> None:
    for source, name in project()["tool"]["hatch"]["build"]["targets"]["sdist"]["force-include"].items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (PACKAGE / source).is_dir() else shutil.copy)(PACKAGE / source, target)
    runtime = tmp_path / "n2nsurgery" / "runtime"  # where hatch_build.py looks first
    assert (runtime / "registration.py").is_file()
    builder = runpy.run_path(str(runtime / "build.py"))
    assert builder["SOURCES"] == runtime / "native"
    assert builder["source_fingerprint"]() == source_fingerprint()


def test_it_needs_onnxruntime_alone_and_brings_the_licence_of_the_repository() -> None:
    metadata = project()["project"]
    assert metadata["dependencies"] == ["onnxruntime>=1.20"]
    assert metadata["license-files"] == ["LICENSE"]
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def project() -> dict[str, Any]:
    """Its pyproject.toml."""
    return tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
