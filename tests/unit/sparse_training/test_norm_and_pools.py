"""BatchNorm and pooling in the layout against torch's own modules."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions.layout import batch_first, is_laid_out, lay_out
from n2nsurgery.sparse_training.modules.laid_out import LaidOutBatchNorm, laid_out_twin

# One pass over a few thousand float32 elements, against the same in double precision.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def both(original: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Outputs and gradients: of the twin in float32, of the original in double precision."""
    twin = laid_out_twin(original)
    exact = copy.deepcopy(original).double()
    found = []
    for module, source in ((twin, x), (exact, x.double())):
        leaf = source.clone().requires_grad_()
        out = module(leaf)
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(7)).to(out.dtype)
        out.backward(gradient)
        assert module is exact or is_laid_out(out)
        found.append([out.detach(), leaf.grad, *(p.grad for p in module.parameters()), *module.buffers()])
    for p in original.parameters():
        p.grad = None
    return found[0], found[1]


def agree(original: nn.Module, x: torch.Tensor) -> None:
    ours, exact = both(original, x)
    for one, two in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.double(), two.double(), **TOLERANCE)


NORMS = [
    (nn.BatchNorm2d, (6, 5, 7, 3)),
    (nn.BatchNorm2d, (33, 2, 16, 16)),
    (nn.BatchNorm1d, (9, 5)),
    (nn.BatchNorm1d, (17, 4, 13)),
    (nn.BatchNorm3d, (4, 3, 2, 5, 3)),
]


@pytest.mark.parametrize(("kind", "shape"), NORMS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_batch_norm_is_that_of_torch(isa, generator, kind, shape, training, options):
    assert isa
    norm = kind(shape[1], **options).train(training)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
        if norm.running_var is not None:
            norm.running_mean.copy_(torch.randn(shape[1], generator=generator))
            norm.running_var.copy_(torch.rand(shape[1], generator=generator) + 0.5)
    agree(norm, torch.randn(shape, generator=generator) * 2 + 3)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_with_a_fused_relu_is_the_two_in_a_row(isa, generator, training):
    assert isa
    norm = nn.BatchNorm2d(5).train(training)
    x = torch.randn(12, 5, 6, 7, generator=generator)
    results = []
    for fused in (True, False):
        twin = laid_out_twin(copy.deepcopy(norm))
        assert isinstance(twin, LaidOutBatchNorm)
        leaf = x.clone().requires_grad_()
        out = twin(leaf, relu=True) if fused else torch.relu(twin(leaf))
        out.backward(torch.ones_like(out))
        results.append([out.detach(), leaf.grad, twin.weight.grad, twin.bias.grad])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)  # the same sums, fused or not


def test_the_variance_of_a_large_mean_is_not_cancelled_away(generator):
    norm = nn.BatchNorm1d(2)
    ours, exact = both(norm, torch.randn(4096, 2, generator=generator) + 1e4)
    # float32 holds 1e4 to 1e-3; the sum of squares alone would lose the variance altogether.
    torch.testing.assert_close(ours[0].double(), exact[0], rtol=0, atol=5e-3)


def test_one_value_for_each_channel_cannot_be_trained_on():
    with pytest.raises(UsageError, match="has no variance"):
        laid_out_twin(nn.BatchNorm2d(3))(torch.ones(1, 3, 1, 1))


def pools() -> list[nn.Module]:
    return list(every_pool())


def every_pool():
    for kernel, stride, padding, ceil in itertools.product((2, 3), (1, 2, 3), (0, 1), (False, True)):
        yield nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
        yield nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil)
    yield nn.MaxPool2d((1, 3), (2, 1), (0, 1), dilation=(1, 2))
    yield nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    yield nn.AvgPool2d(3, 2, 1, divisor_override=5)
    yield nn.AdaptiveAvgPool2d(1)
    yield nn.AdaptiveAvgPool2d((3, None))
    yield nn.AdaptiveAvgPool2d(5)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_pooling_is_that_of_torch(generator, pool):
    for batch in (1, 5, 16, 20):
        agree(pool, torch.randn(batch, 3, 9, 8, generator=generator))


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (nn.MaxPool1d(3, 2, 1), (4, 3, 17)),
        (nn.AvgPool1d(3, 2, 1), (4, 3, 17)),
        (nn.AdaptiveAvgPool1d(4), (4, 3, 17)),
        (nn.MaxPool3d(2), (4, 3, 5, 4, 6)),
        (nn.AvgPool3d(2, ceil_mode=True), (4, 3, 5, 4, 6)),
        (nn.AdaptiveAvgPool3d(2), (4, 3, 5, 4, 6)),
    ],
    ids=str,
)
def test_pooling_along_one_and_three_axes_is_that_of_torch(generator, pool, shape):
    agree(pool, torch.randn(shape, generator=generator))


def test_the_maximum_under_every_instruction_set_is_the_first_of_equals_and_nan(isa):
    assert isa
    x = torch.zeros(20, 1, 4, 4)
    x[3, 0, 1, 1] = torch.nan
    pool = nn.MaxPool2d(2)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours, torchs = laid_out_twin(pool)(leaf), pool(other)
    assert torch.equal(ours.isnan(), torchs.isnan())
    ours.nan_to_num().sum().backward()
    torchs.nan_to_num().sum().backward()
    assert torch.equal(leaf.grad, other.grad)


def test_what_is_not_served_has_no_twin():
    assert laid_out_twin(nn.MaxPool2d(2, return_indices=True)) is None
    assert laid_out_twin(nn.MaxPool2d(16)) is None  # 256 taps are more than a byte counts
    assert laid_out_twin(nn.LPPool2d(2, 2)) is None


@pytest.mark.parametrize("shape", [(1, 5), (64, 33), (7, 3, 5), (65, 4, 9, 11), (0, 3, 2), (3, 2, 70, 5)])
def test_the_layout_is_reached_and_left_without_a_change(isa, generator, shape):
    assert isa
    x = torch.randn(shape, generator=generator)
    laid_out = lay_out(x)
    assert is_laid_out(laid_out)
    assert torch.equal(laid_out, x)
    back = batch_first(laid_out)
    assert back.is_contiguous()
    assert torch.equal(back, x)
    assert lay_out(laid_out) is laid_out


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_batch_norm_with_a_fused_sum_is_the_steps_in_a_row(isa, generator, training, relu):
    assert isa
    norm = nn.BatchNorm2d(5).train(training)
    x, residual = (torch.randn(12, 5, 6, 7, generator=generator) for _ in range(2))
    dy = torch.randn(12, 5, 6, 7, generator=generator)
    results = []
    for fused in (True, False):
        twin = laid_out_twin(copy.deepcopy(norm))
        leaf, other = x.clone().requires_grad_(), residual.clone().requires_grad_()
        out = twin(leaf, relu=relu, add=other) if fused else twin(leaf) + other
        out = out.relu() if relu and not fused else out
        out.backward(dy)
        results.append([out.detach(), leaf.grad, other.grad, twin.weight.grad, twin.bias.grad, twin.running_mean])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)  # the same sums, fused or not


def test_a_sum_of_other_shape_or_type_is_that_of_torch(generator):
    twin = laid_out_twin(nn.BatchNorm2d(5))
    x = torch.randn(6, 5, 4, 4, generator=generator)
    for other in (torch.randn(5, 1, 1, generator=generator), torch.randn(6, 5, 4, 4, generator=generator).double()):
        exact = (twin(x) + other).relu()
        torch.testing.assert_close(twin(x, add=other, relu=True), exact)
    assert twin(x[:0], add=x[:0], relu=True).shape == (0, 5, 4, 4)
