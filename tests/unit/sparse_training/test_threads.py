"""The same bits for any number of threads."""

from __future__ import annotations

import pytest
import torch

from n2nsurgery.sparse_training.functions.convolution import conv
from n2nsurgery.sparse_training.functions.geometry import Geometry
from n2nsurgery.sparse_training.functions.norm import NormSettings, normalize
from n2nsurgery.sparse_training.functions.pattern import SparsePattern
from n2nsurgery.sparse_training.functions.pools import Window, adaptive_spans, average_pool, max_pool

THREADS = (1, 2, 4)


@pytest.fixture
def with_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def everything(threads: int, stride: int, groups: int, batch: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    x = torch.randn(batch, 24, 9, 11, generator=random).requires_grad_()
    mask = torch.rand(30, 24 // groups, 3, 3, generator=random) < 0.3
    values = torch.randn(int(mask.sum()), generator=random).requires_grad_()
    scale, shift = torch.rand(30, generator=random).requires_grad_(), torch.randn(30, generator=random).requires_grad_()
    walk = Geometry(stride=(stride, stride), before=(1, 1), after=(1, 1), dilation=(1, 1))
    full = torch.zeros(mask.numel())
    y = conv(x, values, None, SparsePattern.of(mask, groups=groups), walk, full)
    y, mean, variance = normalize(y, scale, shift, NormSettings(epsilon=1e-5, relu=True))
    y = max_pool(y, Window(kernel=(2, 2), stride=(1, 1), pad=(0, 0), dilation=(1, 1)))
    y = average_pool(y, [adaptive_spans(size, 2) for size in y.shape[2:]])
    y.backward(torch.randn(y.shape, generator=random))
    assert torch.get_num_threads() == threads
    return [y.detach(), mean, variance, x.grad, values.grad, full, scale.grad, shift.grad]


@pytest.mark.parametrize(("stride", "groups", "batch"), [(1, 1, 20), (2, 1, 64), (1, 3, 5), (3, 2, 33)])
def test_results_are_equal_to_the_bit_for_any_number_of_threads(isa, with_threads, stride, groups, batch):
    assert isa
    results = []
    for threads in THREADS:
        with_threads(threads)
        results.append(everything(threads, stride, groups, batch))
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))
