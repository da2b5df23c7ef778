"""Max-pooling beside sparse nodes: where it is replaced, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from portable_form import forms
from torch import nn

from n2nsurgery import runtime
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.export.config import ExportConfig, Form
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.verify_file import verify_file

SIZE = (15, 13)
HALVED = {"kernel_shape": [2, 2], "strides": [2, 2]}
Pool = tuple[str, str, dict[str, object]]


def weight(*shape: int, density: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)


def rewritten(before: float | None, after: float | None, pool: dict[str, object], *, channels: int = 16) -> list[str]:
    """Operators of convolution, MaxPool, convolution in the portable form; densities, None for no convolution."""
    tensors, nodes, name = {}, [], "x"
    if before is not None:
        tensors["a"] = weight(channels, channels, 3, 3, density=before)
        nodes += [helper.make_node("Conv", ["x", "a"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
        name = "d"
    nodes.append(helper.make_node("MaxPool", [name], ["y" if after is None else "p"], **pool))
    if after is not None:
        tensors["b"] = weight(channels, channels, 3, 3, density=after)
        nodes.append(helper.make_node("Conv", ["p", "b"], ["y"]))
    return forms(nodes, tensors, (channels, *SIZE))


def test_a_pool_after_a_sparse_convolution_is_ours():
    assert rewritten(0.05, None, HALVED) == ["SparseConvRelu", "PlainMaxPool"]
    assert rewritten(0.05, 1.0, HALVED) == ["SparseConvRelu", "PlainMaxPool", "Conv"]


def test_a_pool_before_sparse_nodes_alone_is_ours():
    assert rewritten(None, 0.05, HALVED) == ["PlainMaxPool", "SparseConv"]


def test_a_pool_of_what_lies_in_blocks_stays_there():
    assert rewritten(1.0, 0.05, HALVED) == ["Conv", "Relu", "MaxPool", "SparseConv"]


def test_a_pool_without_sparse_nodes_stays():
    assert rewritten(None, 1.0, HALVED) == ["MaxPool", "Conv"]


def test_channels_that_make_no_blocks_stay():
    assert rewritten(0.05, None, HALVED, channels=12) == ["SparseConvRelu", "MaxPool"]


@pytest.mark.parametrize(
    "other",
    [
        {"ceil_mode": 1},
        {"dilations": [2, 2]},
        {"auto_pad": "SAME_UPPER"},
        {"kernel_shape": [3, 3], "auto_pad": "VALID"},
    ],
    ids=str,
)
def test_what_the_kernel_does_not_compute_stays(other):
    assert rewritten(0.05, None, HALVED | other) == ["SparseConvRelu", "MaxPool"]


def test_the_places_of_maxima_are_left_to_the_standard_operator():
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["p", "places"], **HALVED),
        helper.make_node("Cast", ["places"], ["f"], to=1),
        helper.make_node("Add", ["p", "f"], ["y"]),
    ]
    assert "MaxPool" in forms(nodes, {"a": weight(16, 16, 3, 3, density=0.05)}, (16, *SIZE))


def test_a_pool_of_joined_sparse_results_and_one_of_a_pool_are_ours():
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Conv", ["x", "b"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["e"], axis=1),
        helper.make_node("MaxPool", ["e"], ["p"], **HALVED),
        helper.make_node("MaxPool", ["p"], ["q"], **HALVED),
        helper.make_node("Concat", ["q", "q"], ["y"], axis=1),
    ]
    sparse = {name: weight(16, 16, 3, 3, density=0.05) for name in ("a", "b")}
    assert forms(nodes, sparse, (16, *SIZE)).count("PlainMaxPool") == 2
    one_dense = sparse | {"b": weight(16, 16, 3, 3, density=1.0)}
    # ONNX Runtime joins in blocks where all parts are
    assert forms(nodes, one_dense, (16, *SIZE)).count("PlainMaxPool") == 2
    both_dense = one_dense | {"a": weight(16, 16, 3, 3, density=1.0)}
    assert forms(nodes, both_dense, (16, *SIZE)).count("MaxPool") == 2


def vgg() -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """Two stages of convolution, ReLU and both frequent pools, a head; one weight of twenty kept."""
    network = nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    ).eval()  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for name, parameter in network.named_parameters():
        parameter.data.normal_(generator=generator)
        if parameter.dim() > 1:
            masks[name] = torch.rand(parameter.shape, generator=generator) < 0.05
            parameter.data.mul_(masks[name])
    return network, masks


@pytest.mark.parametrize("form", ["portable", "inlined"])
def test_a_network_with_pools_is_proven_read_and_verified(tmp_path, form: Form):
    network, masks = vgg()
    libraries = []
    try:
        libraries.append(runtime.library_path())
    except runtime.LibraryNotBuiltError:
        assert form  # without it the file is proven in stock ONNX Runtime alone
    x = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "vgg.onnx"
    report = export_module(
        network, (x,), ("x",), path=path, metadata={}, masks=masks, libraries=libraries,
        config=ExportConfig(format=form, compact=True),
    )  # fmt: skip
    assert report.identical
    pools = [node.op_type for node in onnx.load(path).graph.node if node.op_type.endswith("MaxPool")]
    assert pools == ["PlainMaxPool" if form == "portable" else "MaxPool"] * 2
    assert not inspect_file(path).disagreements
    verify_file(path, [[x]], libraries=libraries)
    first = path.read_bytes()
    export_module(
        network, (x,), ("x",), path=path, metadata={}, masks=masks, overwrite=True,
        config=ExportConfig(format=form, compact=True),
    )  # fmt: skip
    assert path.read_bytes() == first


def test_channels_are_followed_through_our_pools(tmp_path):
    network, masks = vgg()
    x = torch.zeros(1, 16, 16, 16)
    found = []
    for form in ("portable", "dense"):
        path = tmp_path / f"{form}.onnx"
        export_module(network, (x,), ("x",), path=path, metadata={}, masks=masks, config=ExportConfig(format=form))
        found.append(channel_network_of_onnx(path).flow)
    assert len(found[0].calls) == 3
    assert [call.weight for call in found[0].calls] == [call.weight for call in found[1].calls]
