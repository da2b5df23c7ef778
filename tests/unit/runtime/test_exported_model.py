"""An exported model, from torch to the sparse kernels."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.export.exporter import export_module


class Network(nn.Module):
    """Convolution and ReLU twice with a shortcut, and a head on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(6, 32, 3, stride=2, padding=1)
        self.body = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Linear(32, 40)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6, 16, 16) -> (N, 64, 40)."""
        a = torch.relu(self.stem(x))
        return self.head(torch.relu(self.body(a) + a).flatten(2).mT)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The file, and a batch for it."""
    generator = torch.Generator().manual_seed(0)
    network = Network().eval()
    masks = {}
    for name, weight in network.named_parameters():
        weight.data.normal_(generator=generator)
        if weight.dim() > 1:
            masks[name] = torch.rand(weight.shape, generator=generator) < 0.1
            weight.data.mul_(masks[name])
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    x = torch.randn(2, 6, 16, 16, generator=generator)
    export_module(network, (x,), ("x",), path=path, metadata={}, masks=masks)
    return path, x


@pytest.mark.usefixtures("isa")
def test_an_exported_model_is_the_same_with_and_without_the_library(make_session, exported):
    path, x = exported
    assert any(node.op_type.startswith("Sparse") for node in onnx.load(path).graph.node)
    stock = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    sparse = make_session(path.read_bytes())
    for batch in (x, x[:1]):
        expected = stock.run(None, {"x": batch.numpy()})[0]
        actual = sparse.run(None, {"x": batch.numpy()})[0]
        # about a hundred float32 roundings
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
