"""Sparse convolution and linear maps against dense autograd in double precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from n2nsurgery.sparse_training.functions import full_gradient
from n2nsurgery.sparse_training.functions.convolution import conv, linear
from n2nsurgery.sparse_training.functions.geometry import Geometry
from n2nsurgery.sparse_training.functions.layout import is_laid_out, lay_out
from n2nsurgery.sparse_training.functions.pattern import SparsePattern

DENSE = (F.conv1d, F.conv2d, F.conv3d)
# Sums of a few thousand products in float32; relative to the largest entry of the result.
TOLERANCE = 3e-5


def close(ours: torch.Tensor, exact: torch.Tensor) -> None:
    assert ours.shape == exact.shape
    scale = max(1.0, float(exact.abs().max())) if exact.numel() else 1.0
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=TOLERANCE * scale)


def clear(gradient: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """`gradient` without the places where rounding decides whether a ReLU lets it pass."""
    return gradient.where(sums.detach().abs() > TOLERANCE * max(1.0, float(sums.detach().abs().max())), 0.0)


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    most = {1: 40, 2: 19, 3: 7}[rank]
    axes = [
        (
            draw(st.integers(1, 4)),  # kernel
            draw(st.integers(1, 3)),  # stride
            draw(st.integers(0, 3)),  # zeros before
            draw(st.integers(0, 3)),  # zeros after
            draw(st.integers(1, 3)),  # dilation
        )
        for _ in range(rank)
    ]
    least = [max(1, dilation * (kernel - 1) + 1 - before - after) for kernel, _, before, after, dilation in axes]
    size = [draw(st.integers(low, max(low, most))) for low in least]
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    return {
        "batch": draw(st.sampled_from((1, 2, 3, 7, 15, 16, 17, 32, 40, 65))),
        "inputs": draw(st.integers(1, 7)),
        "outputs": draw(st.integers(1, 9)),
        "groups": groups,
        "size": size,
        "axes": axes,
        "density": draw(st.sampled_from((0.0, 0.05, 0.3, 1.0))),
        "bias": draw(st.booleans()),
        "empty_rows": draw(st.booleans()),
        "laid_out": draw(st.booleans()),
        "relu": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31 - 1)),
    }


def check(case) -> None:
    random = torch.Generator().manual_seed(case["seed"])
    kernel, stride, before, after, dilation = zip(*case["axes"], strict=True)
    groups = case["groups"]
    shape = (case["outputs"] * groups, case["inputs"], *kernel)
    mask = torch.rand(shape, generator=random) < case["density"]
    if case["empty_rows"]:
        mask[::2] = False
    x = torch.randn(case["batch"], case["inputs"] * groups, *case["size"], generator=random)
    weight = torch.randn(shape, generator=random)
    bias = torch.randn(shape[0], generator=random) if case["bias"] else None
    pattern = SparsePattern.of(mask, groups=groups)

    exact_x, exact_weight = x.double().requires_grad_(), (weight * mask).double().requires_grad_()
    exact_bias = None if bias is None else bias.double().requires_grad_()
    padding = [zeros for pair in zip(reversed(before), reversed(after), strict=True) for zeros in pair]
    padded = F.pad(exact_x, padding)
    exact = DENSE[len(kernel) - 1](padded, exact_weight, exact_bias, stride, 0, dilation, groups)
    gradient = torch.randn(exact.shape, generator=random)
    if case["relu"]:
        gradient, exact = clear(gradient, exact), exact.relu()
    exact.backward(gradient.double())

    our_x = (lay_out(x) if case["laid_out"] else x).detach().requires_grad_()
    values = weight[mask].requires_grad_()
    our_bias = None if bias is None else bias.clone().requires_grad_()
    geometry = Geometry(stride=stride, before=before, after=after, dilation=dilation)
    full = torch.zeros(weight.numel())
    ours = conv(our_x, values, our_bias, pattern, geometry, full, relu=case["relu"])
    assert is_laid_out(ours)
    ours.backward(lay_out(gradient) if case["laid_out"] else gradient)
    close(ours.detach(), exact.detach())
    close(our_x.grad, exact_x.grad)
    close(values.grad, exact_weight.grad[mask])
    close(full, exact_weight.grad.flatten())
    if bias is not None:
        close(our_bias.grad, exact_bias.grad)


@given(case=cases())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_gradients_of_a_convolution_are_those_of_the_dense_one(isa, case):
    assert isa
    check(case)


@pytest.mark.parametrize(
    ("channels", "size", "batch", "kernel", "stride"),
    [
        ((64, 48), (9, 16), 64, (3, 3), (1, 1)),  # several bands, part of the batch in each block
        ((300, 20), (4, 4), 33, (3, 3), (1, 1)),  # tiles of input channels
        ((20, 300), (7, 7), 16, (3, 3), (2, 2)),
        ((700, 10), (1, 1), 130, (1, 1), (1, 1)),
        ((24, 24), (1, 60), 8, (1, 5), (1, 1)),
        ((40, 40), (2, 2), 48, (3, 3), (1, 1)),
        ((16, 16), (5, 37), 16, (2, 2), (3, 4)),
        ((2, 16), (48, 48), 64, (1, 1), (1, 1)),  # a result that is written past the caches
    ],
)
def test_layers_of_ordinary_sizes_agree_with_the_dense_ones(isa, channels, size, batch, kernel, stride, monkeypatch):
    assert isa
    monkeypatch.setattr(full_gradient, "_MOST_ENTRIES", 3000)  # several patterns for the gradient of all entries
    axes = [(k, s, k // 2, k // 2, 1) for k, s in zip(kernel, stride, strict=True)]
    for density in (0.02, 0.5):
        check(
            {
                "batch": batch, "inputs": channels[0], "outputs": channels[1], "groups": 1, "size": size, "axes": axes,
                "density": density, "bias": True, "empty_rows": False, "laid_out": True, "relu": False, "seed": 1,
            }
        )  # fmt: skip


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_bands_that_share_rows_with_the_ones_above_agree_with_the_dense_ones(isa, stride, dilation):
    assert isa
    axes = [(3, stride, 1, 1, dilation), (3, 1, 1, 1, 1)]
    check(
        {
            "batch": 64, "inputs": 48, "outputs": 6, "groups": 1, "size": (21, 17), "axes": axes, "density": 0.1,
            "bias": False, "empty_rows": False, "laid_out": True, "relu": False, "seed": 1,
        }
    )  # fmt: skip


# What is packed of a channel is as long as the channel by chance. With 1 MB of second-level cache, the first three pack
# half of the rows, and half of the lanes are unused. The others pack rows beyond the last, and a part of the batch.
@pytest.mark.parametrize(
    ("batch", "inputs", "size", "outputs"),
    [
        (8, 64, (16, 16), 8),
        (4, 64, (32, 16), 8),
        (2, 64, (64, 16), 8),
        (24, 4, (4, 5), 64),
        (18, 4, (8, 2), 4),
        (6, 4, (4, 4), 64),
    ],
)
def test_pointwise_sources_of_a_batch_that_fills_no_vectors_are_packed(isa, batch, inputs, size, outputs):
    assert isa
    check(
        {
            "batch": batch, "inputs": inputs, "outputs": outputs, "groups": 1, "size": size,
            "axes": [(1, 1, 0, 0, 1)] * 2, "density": 1.0, "bias": False, "empty_rows": False, "laid_out": True,
            "relu": False, "seed": 1,
        }
    )  # fmt: skip


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("tokens", [(), (5,), (3, 4)])
@pytest.mark.parametrize("batch", [1, 3, 16, 50])
def test_the_gradients_of_a_linear_map_are_those_of_the_dense_one(isa, generator, tokens, batch, relu):
    assert isa
    mask = torch.rand(11, 23, generator=generator) < 0.2
    weight, bias = torch.randn(11, 23, generator=generator), torch.randn(11, generator=generator)
    x = torch.randn(batch, *tokens, 23, generator=generator)
    exact_x, exact_weight = x.double().requires_grad_(), (weight * mask).double().requires_grad_()
    exact_bias = bias.double().requires_grad_()
    exact = F.linear(exact_x, exact_weight, exact_bias)
    gradient = torch.randn(exact.shape, generator=generator)
    if relu:
        gradient, exact = clear(gradient, exact), exact.relu()
    exact.backward(gradient.double())
    our_x, values, our_bias = x.clone().requires_grad_(), weight[mask].requires_grad_(), bias.requires_grad_()
    full = torch.zeros(mask.numel())
    ours = linear(our_x, values, our_bias, SparsePattern.of(mask), full, relu=relu)
    ours.backward(gradient)
    close(ours.detach(), exact.detach())
    close(our_x.grad, exact_x.grad)
    close(values.grad, exact_weight.grad[mask])
    close(full, exact_weight.grad.flatten())
    close(our_bias.grad, exact_bias.grad)


def test_a_planted_fault_is_seen(generator):
    case = {
        "batch": 3, "inputs": 4, "outputs": 5, "groups": 1, "size": [6], "axes": [(3, 1, 1, 1, 1)], "density": 0.5,
        "bias": False, "empty_rows": False, "laid_out": False, "relu": False, "seed": 5,
    }  # fmt: skip
    check(case)
    exact = torch.randn(7, dtype=torch.float64, generator=generator)
    with pytest.raises(AssertionError):
        close(exact.float() + 1e-3, exact)
