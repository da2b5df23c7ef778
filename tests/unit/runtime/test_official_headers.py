"""ONNX Runtime's own headers: what the library declares of its C ABI, and the examples in C and C++ that use them.

`.ci/headers` finds or fetches the headers; without them these tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import onnxruntime
import pytest
from onnx import TensorProto, helper

from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_MAX_POOL, VERSION
from n2nsurgery.runtime.build import SOURCES, BuildError, find_compiler

ROOT = Path(__file__).parents[3]
FLAGS = ("-std=c++17", "-fsyntax-only", "-Werror", "-Wall", "-Wextra", "-Wno-ignored-attributes")  # of its typedefs


@pytest.fixture
def include() -> Path:
    """The folder with onnxruntime_c_api.h."""
    root = Path(os.environ.get("ONNXRUNTIME_ROOT") or "/usr")
    places = (root / "include" / folder for folder in ("", "onnxruntime", "onnxruntime/core/session"))
    found = next((folder for folder in places if (folder / "onnxruntime_c_api.h").is_file()), None)
    if found is None:
        pytest.skip("needs ONNX Runtime's headers: export ONNXRUNTIME_ROOT=$(.ci/headers)")
    return found


def compile_declarations(include: Path, sources: Path) -> subprocess.CompletedProcess[str]:
    """What the compiler says of the comparison of the header in `sources` with the official one in `include`."""
    try:
        compiler = find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    program = Path(__file__).with_name("official_abi.cpp")
    command = [*compiler.command, *FLAGS, f"-I{include}", f"-I{sources}", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_slots_signatures_callbacks_and_constants_are_those_of_the_official_header(include: Path) -> None:
    finished = compile_declarations(include, SOURCES)
    assert finished.returncode == 0, finished.stderr


def test_every_slot_and_callback_that_the_library_declares_is_compared() -> None:
    declared = (SOURCES / "ort_abi.h").read_text(encoding="utf-8")
    compared = Path(__file__).with_name("official_abi.cpp").read_text(encoding="utf-8")
    slots = re.findall(r"^using (\w+) =\s+Slot<", declared, re.MULTILINE)
    callbacks = re.findall(r"\(\*(\w+)\)\(", declared[declared.index("struct CustomOp {") :])
    assert len(slots) > 20
    assert slots == re.findall(r"N2N_SLOT\(\w+, (\w+)\);", compared)
    assert ["version", *callbacks] == re.findall(r"N2N_CALLBACK\((\w+)\);", compared)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Slot<274,", "Slot<275,"),
        ("const KernelInfo*, const char*, float*", "const KernelInfo*, const char*, double*"),
        ("void (*KernelDestroy)(void*);", "void (*KernelDestroy)(void*, int);"),
        ("int (*GetStartVersion)(const CustomOp*);", ""),
        ("kUint16 = 4", "kUint16 = 5"),
    ],
)
def test_a_wrong_declaration_does_not_compile(include: Path, tmp_path: Path, right: str, wrong: str) -> None:
    declared = (SOURCES / "ort_abi.h").read_text(encoding="utf-8")
    assert declared.count(right) == 1
    (tmp_path / "ort_abi.h").write_text(declared.replace(right, wrong), encoding="utf-8")
    finished = compile_declarations(include, tmp_path)
    assert finished.returncode != 0
    assert "error" in finished.stderr


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with one pool by the library's operator: x of 8 channels of 2 x 2, y of 8 values, for each sample."""
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 2, 2])]
    values.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 1, 1]))
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]}
    node = helper.make_node(PLAIN_MAX_POOL, ["x"], ["y"], domain=DOMAIN, **window)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    graph = helper.make_graph([node], "pool", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def release(include: Path, folder: Path) -> Path:
    """A folder like ONNX Runtime's release archive: these headers and the library of the installed onnxruntime."""
    version = re.search(r"define ORT_API_VERSION (\d+)", (include / "onnxruntime_c_api.h").read_text(encoding="utf-8"))
    assert version is not None
    if int(version[1]) > int(onnxruntime.__version__.split(".")[1]):
        pytest.skip(f"onnxruntime {onnxruntime.__version__} is older than its headers (API version {version[1]})")
    capi = Path(onnxruntime.__file__).parent / "capi"
    libraries = [path for pattern in ("libonnxruntime.so.*", "libonnxruntime.*.dylib") for path in capi.glob(pattern)]
    if not libraries:
        pytest.skip(f"onnxruntime {onnxruntime.__version__} brings no library to link with")
    (folder / "lib").mkdir(parents=True)
    names = (libraries[0].name, "libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.dylib")
    for name in dict.fromkeys(names):
        (folder / "lib" / name).symlink_to(libraries[0])
    (folder / "include").symlink_to(include, target_is_directory=True)
    return folder


def test_the_examples_run_a_model_from_c_and_c_plus_plus(
    library: Path, include: Path, model: Path, tmp_path: Path
) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs CMake")
    root, build = release(include, tmp_path / "release"), tmp_path / "build"
    flags = "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    configure = [cmake, "-S", ROOT / "examples/cpp", "-B", build, f"-DONNXRUNTIME_ROOT={root}", *flags]
    subprocess.run(configure, check=True)
    subprocess.run([cmake, "--build", build], check=True)
    said = [
        subprocess.run([build / name, model, library], check=True, capture_output=True, text=True).stdout
        for name in ("run_cpp", "run_c")
    ]
    assert said == ["y: 8 values, first 0.5\n", "1 inputs, 1 outputs\n"]
