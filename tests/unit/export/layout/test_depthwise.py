"""Depthwise convolutions beside sparse nodes: where they are replaced, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import helper
from portable_form import forms
from torch import nn

from n2nsurgery import runtime
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.verify_file import verify_file

NINE = {"kernel_shape": [3, 3], "pads": [1] * 4}


def weight(*shape: int, density: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)


def chain(
    before: float | None, after: float | None, channels: int = 48, size: tuple[int, int] = (20, 13), **changed: object
) -> list[str]:
    """Operators of pointwise, depthwise, pointwise in the portable form; densities, None for no convolution."""
    tensors = {"d": weight(channels, 1, 3, 3, density=1), "bias": weight(channels, density=1)}
    nodes, name = [], "x"
    if before is not None:
        tensors["a"] = weight(channels, channels, 1, 1, density=before)
        nodes += [helper.make_node("Conv", ["x", "a"], ["c"]), helper.make_node("Clip", ["c", "", "six"], ["e"])]
        tensors["six"], name = np.array(6, np.float32), "e"
    attributes = {key: value for key, value in {**NINE, "group": channels, **changed}.items() if value is not None}
    nodes.append(helper.make_node("Conv", [name, "d", "bias"], ["f"], **attributes))
    nodes.append(helper.make_node("Relu", ["f"], ["y" if after is None else "g"]))
    if after is not None:
        tensors["b"] = weight(channels, channels, 1, 1, density=after)
        nodes.append(helper.make_node("Conv", ["g", "b"], ["y"]))
    return forms(nodes, tensors, (channels, *size))


def test_between_sparse_convolutions_it_is_ours_with_its_activation():
    assert chain(0.05, 0.05) == ["SparseConvClip", "PlainDepthwiseConvRelu", "SparseConv"]


def test_one_sparse_side_is_enough_where_the_input_does_not_lie_in_blocks():
    assert chain(0.05, 1.0) == ["SparseConvClip", "PlainDepthwiseConvRelu", "Conv"]
    assert chain(None, 0.05) == ["PlainDepthwiseConvRelu", "SparseConv"]


def test_without_sparse_sides_it_stays():
    assert chain(None, None) == ["Conv", "Relu"]
    assert chain(1.0, 1.0) == ["Conv", "Clip", "Conv", "Relu", "Conv"]


def test_an_input_in_blocks_stays_there():
    assert chain(1.0, 0.05) == ["Conv", "Clip", "Conv", "Relu", "SparseConv"]


def test_channels_that_make_no_blocks_are_ours_behind_a_dense_convolution_too():
    assert chain(1.0, 0.05, channels=40) == ["Conv", "Clip", "PlainDepthwiseConvRelu", "SparseConv"]


def test_what_is_too_small_to_pay_stays():
    stays = ["SparseConvClip", "Conv", "Relu", "SparseConv"]
    assert chain(0.05, 0.05, size=(7, 7)) == stays
    assert chain(0.05, 0.05, size=(14, 14)) == stays  # its nine weights for each channel are dense
    assert chain(0.05, 0.05, size=(16, 14)) == ["SparseConvClip", "PlainDepthwiseConvRelu", "SparseConv"]


def test_dense_weights_with_a_stride_stay():
    assert chain(0.05, 0.05, strides=[2, 2]) == ["SparseConvClip", "Conv", "Relu", "SparseConv"]


def test_what_the_kernel_does_not_compute_stays():
    automatic = {"auto_pad": "SAME_UPPER", "pads": None}
    assert chain(0.05, 0.05, **automatic) == ["SparseConvClip", "Conv", "Relu", "SparseConv"]


def test_a_coded_weight_is_decoded_for_it():
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Conv", ["c", "d"], ["y"], group=160, strides=[2, 2], **NINE),
    ]
    tensors = {"a": weight(160, 160, 1, 1, density=0.05), "d": weight(160, 1, 3, 3, density=0.05)}
    assert forms(nodes, tensors, (160, 19, 19)) == ["Decode", "SparseConv", "PlainDepthwiseConv"]


def test_a_block_with_channels_last_behind_it_is_one_side():
    """As in ConvNeXt: depthwise, normalization and linear layers with the channels last, sum."""
    tensors = {
        "d": weight(32, 1, 7, 7, density=1), "scale": np.ones(32, np.float32), "p": weight(32, 128, density=0.05),
        "q": weight(128, 32, density=0.05),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "d"], ["c"], group=32, kernel_shape=[7, 7], pads=[3] * 4),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", ["t", "scale"], ["n"]),
        helper.make_node("MatMul", ["n", "p"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("MatMul", ["r", "q"], ["o"]),
        helper.make_node("Transpose", ["o"], ["u"], perm=[0, 3, 1, 2]),
        helper.make_node("Add", ["x", "u"], ["y"]),
    ]
    assert forms(nodes, tensors, (32, 9, 9))[0] == "PlainDepthwiseConv"
    assert "PlainDepthwiseConv" not in forms(nodes, tensors | {"p": weight(32, 128, density=1)}, (32, 9, 9))


class Inverted(nn.Module):
    """An inverted bottleneck with HardSwish and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64), nn.Hardswish())
        self.depth = nn.Sequential(nn.Conv2d(64, 64, 5, 1, 2, groups=64), nn.BatchNorm2d(64), nn.Hardswish())
        self.project = nn.Conv2d(64, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.project(self.depth(self.expand(x)))


def test_a_network_is_proven_read_and_verified(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), Inverted(), Inverted()).eval()
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            masks[name] = torch.rand(parameter.shape, generator=generator) < 0.1
            parameter.data.mul_(masks[name])
    try:
        libraries = [runtime.library_path()]
    except runtime.LibraryNotBuiltError:
        libraries = []  # without it the file is proven in stock ONNX Runtime alone
    x = torch.randn(2, 3, 22, 18, generator=generator)
    calls = []
    for form in ("portable", "dense"):
        path = tmp_path / f"{form}.onnx"
        report = export_module(
            network, (x,), ("x",), path=path, metadata={}, masks=masks, libraries=libraries,
            config=ExportConfig(format=form),
        )  # fmt: skip
        assert report.identical in {True, None}  # a dense file has no other form to compare with
        assert not inspect_file(path).disagreements
        verify_file(path, [[x]], libraries=libraries)
        calls.append([call.weight for call in channel_network_of_onnx(path).flow.calls])
    assert calls[0] == calls[1]
    operators = [node.op_type for node in onnx.load(tmp_path / "portable.onnx").graph.node]
    assert operators.count("PlainDepthwiseConvHardSwish") == 2
