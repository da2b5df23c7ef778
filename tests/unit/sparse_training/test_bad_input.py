"""Whatever comes in: right results or one clear message, and the process goes on."""

from __future__ import annotations

import gc
import pickle

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.runtime import LIBRARY_VARIABLE, LibraryNotBuiltError
from n2nsurgery.runtime.build import source_fingerprint
from n2nsurgery.sparse_training import SparsePattern, sparse_training
from n2nsurgery.sparse_training.functions.convolution import conv, linear
from n2nsurgery.sparse_training.functions.geometry import Geometry
from n2nsurgery.sparse_training.modules.layers import SparseLinear

WALK = Geometry(stride=(1, 1), before=(1, 1), after=(1, 1), dilation=(1, 1))


@pytest.fixture
def pattern(generator) -> SparsePattern:
    return SparsePattern.of(torch.rand(4, 3, 3, 3, generator=generator) < 0.5)


def values_of(pattern: SparsePattern) -> torch.Tensor:
    return torch.ones(pattern.kept).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_other_types_are_refused_with_their_name(pattern, dtype):
    with pytest.raises(UsageError, match=f"input is {dtype}"):
        conv(torch.ones(2, 3, 5, 5).to(dtype), values_of(pattern), None, pattern, WALK)
    if dtype.is_floating_point:
        with pytest.raises(UsageError, match=f"values is {dtype}"):
            conv(torch.ones(2, 3, 5, 5), values_of(pattern).to(dtype), None, pattern, WALK)


def test_another_device_is_refused_with_its_name(pattern):
    with pytest.raises(UsageError, match="on meta"):
        conv(torch.ones(2, 3, 5, 5, device="meta"), values_of(pattern), None, pattern, WALK)


def test_a_module_elsewhere_or_in_double_precision_is_refused():
    for layer in (nn.Linear(3, 2).double(), nn.Linear(3, 2, device="meta")):
        with pytest.raises(UsageError, match=r"float64|meta"):
            sparse_training(layer, {"weight": torch.ones(2, 3, dtype=torch.bool)})


def test_autocast_computes_in_single_precision(pattern):
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    values = values_of(pattern)
    plain = conv(x, values, None, pattern, WALK)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = conv(x, values, None, pattern, WALK)
        from_half = conv(x.detach().bfloat16(), values, None, pattern, WALK)
    assert torch.equal(plain, cast)
    cast.sum().backward()
    assert from_half.dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 4, 5, 5), (2, 3, 5), (3, 5, 5), (2, 3, 0, 5)])
def test_an_input_that_does_not_fit_is_refused(pattern, shape):
    with pytest.raises(UsageError, match=r"needs \(N, 3, size, size\)"):
        conv(torch.ones(shape), values_of(pattern), None, pattern, WALK)


def test_a_kernel_larger_than_its_input_is_refused(pattern):
    narrow = Geometry(stride=(1, 1), before=(0, 0), after=(0, 0), dilation=(1, 1))
    with pytest.raises(UsageError, match="does not fit into an input"):
        conv(torch.ones(2, 3, 2, 5), values_of(pattern), None, pattern, narrow)


@pytest.mark.parametrize(
    ("flat", "shape", "groups"),
    [
        ([3, 1], (2, 3), 1),
        ([1, 1], (2, 3), 1),
        ([6], (2, 3), 1),
        ([-1], (2, 3), 1),
        ([0], (3, 3), 2),
        ([0], (3,), 1),
        ([0], (0, 3), 1),
    ],
)
def test_a_pattern_that_is_none_is_refused(flat, shape, groups):
    with pytest.raises(UsageError, match=r"ascending|weight of shape"):
        SparsePattern(torch.tensor(flat), shape, groups=groups)


def test_values_that_do_not_fit_their_pattern_are_refused(pattern):
    with pytest.raises(UsageError, match="do not fit a pattern"):
        conv(torch.ones(2, 3, 5, 5), torch.ones(pattern.kept + 1), None, pattern, WALK)


def test_a_mask_that_does_not_fit_its_layer_is_refused():
    with pytest.raises(UsageError, match="has shape"):
        sparse_training(nn.Linear(3, 2), {"weight": torch.ones(3, 2, dtype=torch.bool)})
    with pytest.raises(UsageError, match="not a parameter of Linear"):
        sparse_training(nn.Linear(3, 2), {"wait": torch.ones(2, 3, dtype=torch.bool)})
    with pytest.raises(UsageError, match="nothing is pruned"):
        sparse_training(nn.Linear(3, 2))


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(pattern):
    x, values = torch.ones(0, 3, 5, 5).requires_grad_(), values_of(pattern)
    bias = torch.zeros(4, requires_grad=True)
    y = conv(x, values, bias, pattern, WALK)
    assert y.shape == (0, 4, 5, 5)
    y.sum().backward()
    assert not values.grad.any()
    assert not bias.grad.any()
    assert x.grad.shape == x.shape


def test_a_layer_without_weights_gives_its_bias(generator):
    pattern = SparsePattern.of(torch.zeros(4, 3, 3, 3, dtype=torch.bool))
    bias = torch.randn(4, generator=generator)
    x = torch.randn(2, 3, 5, 5, generator=generator).requires_grad_()
    y = conv(x, values_of(pattern), bias, pattern, WALK)
    assert torch.equal(y, bias[None, :, None, None].expand_as(y))
    y.sum().backward()
    assert not x.grad.any()


def test_nan_goes_where_it_goes_in_a_dense_layer(generator):
    mask = torch.rand(6, 8, generator=generator) < 0.5
    weight = torch.randn(6, 8, generator=generator)
    x = torch.randn(5, 8, generator=generator)
    x[2, 3] = torch.nan
    y = linear(x, weight[mask], None, SparsePattern.of(mask))
    reads = mask[:, 3]
    assert y[2, reads].isnan().all()
    assert torch.isfinite(y[:, ~reads]).all()  # a pruned weight does not even multiply
    assert torch.isfinite(y[[0, 1, 3, 4]]).all()


@pytest.mark.parametrize("images", [5, 16, 37])
def test_nan_passes_a_relu_that_is_part_of_the_layer(generator, images):
    mask = torch.rand(6, 8, generator=generator) < 0.5
    pattern, values = SparsePattern.of(mask), torch.randn(int(mask.sum()), generator=generator)
    x = torch.randn(images, 8, generator=generator)
    x[2, 3] = torch.nan
    results = []
    for fused in (False, True):
        given = x.clone().requires_grad_()
        y = linear(given, values, None, pattern, relu=fused)
        y = y if fused else y.relu()
        y.backward(torch.ones_like(y))
        results.append((y.detach(), given.grad))
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_results_are_single_precision_whatever_the_default_is(pattern):
    x = torch.randn(2, 3, 5, 5, dtype=torch.float32)
    bias = torch.zeros(4, dtype=torch.float32, requires_grad=True)
    gradients = []
    for kind in (torch.float32, torch.float64):
        torch.set_default_dtype(kind)
        try:
            conv(x, values_of(pattern).float(), bias, pattern, WALK).sum().backward()
        finally:
            torch.set_default_dtype(torch.float32)
        gradients.append(bias.grad)
        bias.grad = None
    assert gradients[1].dtype == torch.float32
    assert torch.equal(*gradients)


def test_second_derivatives_are_refused_by_autograd(pattern):
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    y = conv(x, values_of(pattern), None, pattern, WALK)
    (gradient,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_the_library_it_is_said_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(LibraryNotBuiltError, match=r"python -m n2nsurgery\.runtime\.build"):
        SparsePattern.of(torch.ones(2, 2, dtype=torch.bool))


def test_a_file_that_is_not_a_library_is_said_with_what_to_do(monkeypatch, tmp_path):
    file = tmp_path / "broken.so"
    file.write_text("no library")
    monkeypatch.setenv(LIBRARY_VARIABLE, str(file))
    with pytest.raises(LibraryNotBuiltError, match="do not load"):
        SparsePattern.of(torch.ones(2, 2, dtype=torch.bool))


def test_a_library_of_other_sources_is_not_called(monkeypatch, tmp_path, library):
    file = tmp_path / "older.so"
    file.write_bytes(library.read_bytes().replace(source_fingerprint().encode(), b"0" * 64))
    monkeypatch.setenv(LIBRARY_VARIABLE, str(file))
    with pytest.raises(LibraryNotBuiltError, match=r"older\.so was built from other sources"):
        SparsePattern.of(torch.ones(2, 2, dtype=torch.bool))


def test_a_pattern_outlives_what_was_made_of_it_and_nothing_else(pattern):
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    y = conv(x, values_of(pattern), None, SparsePattern(pattern.flat, pattern.shape), WALK)
    gc.collect()
    y.sum().backward()  # its pattern is held by the graph alone


def test_a_pattern_is_rebuilt_in_another_process(pattern):
    again = pickle.loads(pickle.dumps(pattern))  # noqa: S301 - what multiprocessing does
    assert torch.equal(again.flat, pattern.flat)
    assert again.shape == pattern.shape


def test_a_replaced_pattern_carries_its_values(generator):
    mask, other = (torch.rand(5, 7, generator=generator) < 0.4 for _ in range(2))
    weight = torch.randn(5, 7, generator=generator)
    layer = SparseLinear(SparsePattern.of(mask), nn.Parameter(weight[mask]), None)
    parameter = layer.values
    layer.replace_pattern(SparsePattern.of(other))
    assert layer.values is parameter
    assert torch.equal(layer.weight, weight * (mask & other))
    x = torch.randn(3, 7, generator=generator)
    torch.testing.assert_close(layer(x), x @ layer.weight.T, rtol=1e-5, atol=1e-6)  # seven products
    with pytest.raises(UsageError, match="carries nothing"):
        layer.replace_pattern(SparsePattern.of(other.T.contiguous()))
