"""Networks whose signal dies out before a layer with a bias."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import n2nsurgery


@pytest.mark.parametrize("loss", [1e-9, 1e-18, 0.0])
def test_a_bias_beside_a_signal_that_has_died_out_is_what_the_layer_gives(loss, tmp_path):
    torch.manual_seed(0)
    first, last = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
    with torch.no_grad():
        for layer in (first, last):
            layer.weight.mul_((torch.rand(32, 8, 3, 3) < 0.1).repeat_interleave(4, 1))
        first.weight.mul_(loss)
        first.bias.zero_()
    x = torch.randn(4, 32, 8, 8)
    module = nn.Sequential(nn.Conv2d(32, 32, 1), first, nn.ReLU(), nn.MaxPool2d(2), last).eval()
    path = tmp_path / "net.onnx"
    n2nsurgery.export_onnx(module, path, example_inputs=x, values="int8", calibration=[x])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = module(x).detach().numpy()
    step = (expected.max() - min(expected.min(), 0)) / 255
    np.testing.assert_allclose(given, expected, rtol=0, atol=1.01 * step)  # one level of the output, no more
