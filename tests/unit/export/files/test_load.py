"""Reading ONNX files of unknown origin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.files.load import load_model


def adder(location: str, *, offset: int = 0, length: int = 8, nested: bool = False) -> onnx.ModelProto:
    """y = x + w, with w's two floats in another file; inside a node's attribute where `nested`."""
    weight = numpy_helper.from_array(np.array([1, 2], np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        weight.external_data.add(key=key, value=value)
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if nested:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [] if nested else [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def stored(folder: Path, model: onnx.ModelProto) -> Path:
    """`model` in a file, as it is, beside eight bytes of weights and below another file."""
    (folder.parent / "outside.bin").write_bytes(bytes(64))
    (folder / "weights.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a parent of its own."""
    inner = tmp_path / "inner"
    inner.mkdir()
    return inner


def test_external_data_in_the_model_s_folder_is_read(folder: Path) -> None:
    model = load_model(stored(folder, adder("weights.bin")))
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [1, 2]


@pytest.mark.parametrize("nested", [False, True], ids=["initializer", "attribute"])
@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd", "", ".", "link.bin", "a/../../outside.bin"])
@pytest.mark.parametrize("weights", [False, True])
def test_external_data_that_leaves_the_folder_is_refused(
    folder: Path, location: str, *, nested: bool, weights: bool
) -> None:
    path = stored(folder, adder(location, nested=nested))
    (folder / "link.bin").symlink_to(folder.parent / "outside.bin")
    with pytest.raises(VerificationError):
        load_model(path, weights=weights)


@pytest.mark.parametrize(("offset", "length"), [(0, 9), (8, 1), (-4, 8), (0, -1), (2**62, 8)])
def test_external_data_beyond_its_file_is_refused(folder: Path, offset: int, length: int) -> None:
    with pytest.raises(VerificationError):
        load_model(stored(folder, adder("weights.bin", offset=offset, length=length)))


def test_a_missing_weight_file_is_refused(folder: Path) -> None:
    with pytest.raises(VerificationError, match="not a plain file"):
        load_model(stored(folder, adder("nowhere.bin")))


@given(st.binary(max_size=200))
def test_no_sequence_of_bytes_does_anything_but_load_or_be_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(VerificationError):
        load_model(path)


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_truncated_file_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = stored(tmp_path_factory.mktemp("cut"), adder("weights.bin"))
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    try:
        load_model(path)
    except VerificationError:
        return


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"there is no file '.*nowhere\.onnx'"):
        load_model(tmp_path / "nowhere.onnx")
    with pytest.raises(VerificationError, match="not a file"):
        load_model(tmp_path)
