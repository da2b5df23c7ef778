"""compress and export_onnx of networks that no operation of ours made."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from n2nsurgery import compress, export_onnx
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.models.catalog import resolve_model

X = torch.linspace(-1, 1, 2 * 64).reshape(2, 64)


class Squared(nn.Module):
    """A parametrization that keeps zeros."""

    def forward(self, weight: Tensor) -> Tensor:
        """Its square."""
        return weight**2


@pytest.fixture
def net() -> nn.Sequential:
    """Two layers, the first with a mask of torch.nn.utils.prune, the second with zeros and a parametrization."""
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32))
    prune.random_unstructured(net[0], "weight", amount=0.96)
    with torch.no_grad():
        net[2].weight[torch.rand(32, 48, generator=torch.Generator().manual_seed(0)) > 0.05] = 0
    parametrize.register_parametrization(net[2], "weight", Squared())
    return net


def test_a_module_of_another_tool_is_exported_with_its_masks_multiplied_in(net: nn.Sequential, tmp_path: Path) -> None:
    before = net(X)
    report = export_onnx(net, tmp_path / "net.onnx", example_inputs=X)
    assert torch.equal(net(X), before)
    assert {weight.name: weight.code for weight in report.weights} == {"0.weight": "gaps8", "2.weight": "gaps8"}
    assert report.masked == ("0.weight", "2.weight")
    assert report.inputs == ("input",)
    assert net.training  # the module itself is as it was
    assert prune.is_pruned(net)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "pass example_inputs"),
        ({"example_inputs": X, "report": True}, "is for pruned models"),
        ({"example_inputs": ([1, 2],)}, "example input 'input' is a list"),
    ],
)
def test_a_module_without_what_an_export_needs_is_refused(
    net: nn.Sequential, options: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        export_onnx(net, tmp_path / "net.onnx", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_with_zeros_and_the_name_of_their_network_become_a_file(suffix: str, tmp_path: Path) -> None:
    state = resolve_model("mlp", seed=0).module.state_dict()
    generator = torch.Generator().manual_seed(0)
    for value in state.values():
        if value.dim() > 1:
            value[torch.rand(value.shape, generator=generator) > 0.05] = 0
    path = tmp_path / f"pruned{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    report = compress(path, model="mlp")
    assert report.path == tmp_path / "pruned-sparse.onnx"
    assert {weight.code for weight in report.weights} <= {"gaps8", "dense"}
    assert report.size < report.source_size / 5
    document = inspect_file(report.path).document
    assert document is not None
    assert document["source"]["model"] == "mlp"


def test_weights_need_the_name_of_their_network_and_hold_tensors_alone(tmp_path: Path) -> None:
    torch.save({"network": nn.Linear(2, 2)}, tmp_path / "whole.pth")
    with pytest.raises(UsageError, match="model is needed"):
        compress(tmp_path / "whole.pth")
    with pytest.raises(InvalidFileError, match="cannot be read as tensors"):
        compress(tmp_path / "whole.pth", model="mlp")


def test_the_name_of_a_network_beside_a_whole_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave it out"):
        compress(tmp_path / "net.onnx", model="mlp")


def test_the_output_stands_beside_the_original_and_is_not_replaced_unasked(tmp_path: Path) -> None:
    weight = torch.zeros(64, 48)
    weight[::7, ::5] = 1
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.numpy(), "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "a.onnx")
    first = compress(tmp_path / "a.onnx")
    assert first.path == tmp_path / "a-sparse.onnx"
    again = compress(tmp_path / "a.onnx")
    assert again.to_json() == {**first.to_json(), "already_there": True}
    with pytest.raises(UsageError, match="already exists"):
        compress(tmp_path / "a.onnx", values="fp16")
