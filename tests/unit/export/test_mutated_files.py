"""Damaged files through every command that reads one: a result, or one clear error; never a fault of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.core.errors import CallerError
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.export.compress.compressor import compress_file
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.pipelines.deploy import verify

INTEGERS = (-1, 0, 1, 2, 7, 255, 2**16, 2**31 - 1, -(2**31))
FLOATS = (0.0, -1.0, 1e38, float("nan"))
TEXTS = ("", "x", "w", "../w", "a\0b", "n2nsurgery", "é" * 40, "[]", '{"schema_version": 1}')


def pruned() -> onnx.ModelProto:
    """A convolution, a pool and a linear layer, each with a tenth of its weights."""
    generator = np.random.default_rng(0)

    def sparse(*shape: int) -> np.ndarray:
        return np.where(generator.random(shape) < 0.1, generator.normal(size=shape), 0).astype(np.float32)

    arrays = {
        "c": sparse(16, 16, 3, 3), "b": sparse(16), "w": sparse(16, 80), "s": np.array([0, -1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "c", "b"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Reshape", ["p", "s"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 80])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The bytes of a foreign file, and of the one that compression makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    onnx.save(pruned(), folder / "in.onnx")
    report = compress_file(folder / "in.onnx", folder / "out.onnx")
    return (folder / "in.onnx").read_bytes(), report.path.read_bytes()


def messages(message: Message) -> Iterator[Message]:
    """`message` and all inside of it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]:
                yield from messages(part)


def pick(items: Sequence[Any], generator: np.random.Generator) -> Any:
    """One of `items`."""
    return items[int(generator.integers(len(items)))]


def changed(old: object, generator: np.random.Generator) -> object:
    """Another value for a field that holds `old`."""
    if isinstance(old, str):
        return pick(TEXTS, generator)
    if isinstance(old, bytes):
        return old[: generator.integers(len(old) + 1)] + generator.bytes(int(generator.integers(4)))
    return pick(FLOATS if isinstance(old, float) else INTEGERS, generator)


def with_a_changed_field(content: bytes, generator: np.random.Generator) -> bytes:
    """The file with one field of one message removed, or with another value."""
    model = onnx.load_model_from_string(content)
    message = pick([part for part in messages(model) if part.ListFields()], generator)
    field, value = pick(message.ListFields(), generator)
    if generator.random() < 0.3 or field.message_type is not None:
        if hasattr(value, "add") and len(value) > 1:
            del value[int(generator.integers(len(value)))]
        else:
            message.ClearField(field.name)
        return model.SerializeToString()
    try:
        if isinstance(value, int | float | str | bytes):
            setattr(message, field.name, changed(value, generator))
        else:
            value[int(generator.integers(len(value)))] = changed(value[0], generator)
    except ValueError:  # no value of the field's type
        return content[: int(generator.integers(len(content)))]
    return model.SerializeToString()


def with_changed_bytes(content: bytes, generator: np.random.Generator) -> bytes:
    """The file with one to four bytes of its first kilobyte, or anywhere, changed."""
    bytes_ = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        end = min(1024, len(bytes_)) if generator.random() < 0.5 else len(bytes_)
        bytes_[int(generator.integers(end))] = int(generator.integers(256))
    return bytes(bytes_)


READERS: dict[str, Callable[[Path], object]] = {
    "inspect": inspect_file,
    "report": channel_network_of_onnx,
    "verify": verify.run,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_damaged_file_gives_a_result_or_one_error(
    files: tuple[bytes, bytes], reader: str, count: int, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    refused = []
    for number in range(count):
        generator = np.random.default_rng(number)
        mutate = with_changed_bytes if generator.random() < 0.3 else with_a_changed_field
        path.write_bytes(mutate(files[number % 2], generator))
        try:
            READERS[reader](path)
        except CallerError as error:
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"number {number}") from error
    assert len(refused) > count // 8
    assert all(refused)
