"""Code that asks a traced value for numbers: facts are answered, the batch stays symbolic, the rest is refused."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.tracing.trace import trace

SHAPE = (4, 6, 5)


class Code(nn.Module):
    """A network whose forward is the given function of the input."""

    def __init__(self, code) -> None:
        super().__init__()
        self.code = code

    def forward(self, x):
        return self.code(x)


def shape_arithmetic(x):
    n, c, h, w = x.shape
    return x.reshape(n, c // 2, 2, h, w).transpose(1, 2).reshape(n, c, h * w)


def half_channels_if_wide(x):
    return x[:, : x.shape[1] // 2] if x.size(1) > 2 and x.dim() == 4 else x


def loop_over_rows(x):
    total = 0
    for index in range(len(x[0])):
        total = total + x[:, index] * (index + 1)
    return total


def unpacked_channels(x):
    first, *rest = x.unbind(1)
    return first - sum(rest)


def iteration_over_a_dimension(x):
    return sum(part * index for index, part in enumerate(x.transpose(0, 1)))


def interpolated_to_computed_size(x):
    return F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] + 1), mode="bilinear")


def interpolated_to_size_of_another(x):
    small = F.max_pool2d(x, 2)
    return F.interpolate(small, size=x.shape[-2:]) + x


def arange_over_the_batch(x):
    return x * torch.arange(x.shape[0], device=x.device, dtype=x.dtype).view(-1, 1, 1, 1)


def zeros_for_the_batch(x):
    return torch.cat([x, torch.zeros(x.size(0), 1, *x.shape[2:], dtype=x.dtype)], dim=1)


def full_and_ones_for_the_batch(x):
    return x + torch.full((x.shape[0], 1, 1, 1), 2.0) * torch.ones((x.shape[0], 1, 1, 1))


def expanded_token(x):
    return torch.cat([x.new_ones(1, 1, 1, 1).expand(x.shape[0], -1, *x.shape[2:]), x], 1)


def average_over_the_batch(x):
    return x.sum(0, keepdim=True) / x.shape[0]


def flattened_into_the_batch(x):
    n, c = x.shape[:2]
    return x.reshape(n * c, *x.shape[2:]).mean(-1).reshape(n, c, -1)


def padding_from_the_shape(x):
    h, w = x.shape[-2:]
    return F.pad(x, (0, -w % 4, 0, -h % 4))


def mask_with_the_smallest_number(x):
    return x.masked_fill(x > 0, torch.finfo(x.dtype).min)


def cast_to_its_own_type(x):
    return (x.double() * 2).to(x.dtype) + torch.zeros(3, dtype=x.dtype, device=x.device).sum()


def type_of_the_device(x):
    return x + 1 if x.device.type == "cpu" else x - 1


def number_of_elements(x):
    return x / (x.numel() // x.shape[0])


def einsum(x):
    return torch.einsum("nchw,ndhw->ncd", x, x)


CODES = [
    shape_arithmetic,
    half_channels_if_wide,
    loop_over_rows,
    unpacked_channels,
    iteration_over_a_dimension,
    interpolated_to_computed_size,
    interpolated_to_size_of_another,
    arange_over_the_batch,
    zeros_for_the_batch,
    full_and_ones_for_the_batch,
    expanded_token,
    average_over_the_batch,
    flattened_into_the_batch,
    padding_from_the_shape,
    mask_with_the_smallest_number,
    cast_to_its_own_type,
    type_of_the_device,
    number_of_elements,
    einsum,
]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.__name__)
def test_code_computes_the_same_at_batch_sizes_it_was_not_traced_with(check, code):
    traced = check(Code(code), SHAPE, batches=(1, 2, 7))
    assert traced.leaves == ()


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.__name__)
def test_code_keeps_working_after_a_change_of_type(code):
    x = torch.rand(3, *SHAPE, dtype=torch.float64)
    traced = trace(Code(code), (torch.zeros(2, *SHAPE),)).module.double()
    assert torch.equal(traced(x), code(x))
    assert traced(x).dtype is code(x).dtype


def test_facts_make_no_nodes():
    def code(x):
        return x[:, : x.size(1) // 2, : len(x[0, 0]), : x.size(-1) // x.size(2) + 1] if x.ndim == 4 else x

    operations = [node.op for node in trace(Code(code), (torch.zeros(2, *SHAPE),)).module.n2n_graph.nodes]
    assert operations == ["placeholder", "call_function", "call_function", "output"]  # x[0, 0] and the slice


def branch_on_the_batch(x):
    return x * 2 if x.shape[0] > 4 else x


def branch_on_data(x):
    return x * 2 if x.sum() > 0 else x


def assertion_on_data(x):
    assert (x >= 0).all()
    return x


def loop_over_the_batch(x):
    return torch.stack([row * 2 for row in x])


def unpacked_batch(x):
    first, *rest = x
    return first + sum(rest)


def length_of_the_batch(x):
    return x * len(x)


def integer_of_the_batch(x):
    return x * range(x.shape[0])[-1]


def number_from_data(x):
    return x * float(x.sum())


def item_of_data(x):
    return x[: int(x.max().item())]


def rank_that_follows_the_batch(x):
    return x.reshape([1] * int(x.shape[0]) + [-1])


def list_of_numbers(x):
    return x * x.flatten().tolist()[0]


def numpy(x):
    return torch.from_numpy(x.numpy())


REFUSED = [
    branch_on_the_batch,
    branch_on_data,
    assertion_on_data,
    loop_over_the_batch,
    unpacked_batch,
    length_of_the_batch,
    integer_of_the_batch,
    number_from_data,
    item_of_data,
    rank_that_follows_the_batch,
    list_of_numbers,
    numpy,
]


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: code.__name__)
def test_code_that_needs_the_batch_or_the_data_as_a_number_is_refused_at_its_line(code):
    lines, first = inspect.getsourcelines(code)
    try:
        reason = str(trace(Code(code), (torch.zeros(2, *SHAPE),)).unfollowed)
    except TraceError as error:  # the code itself refuses the example
        reason = str(error)
    named = int(reason.rstrip(")").rpartition(":")[2])
    assert reason.startswith("Code cannot be traced")
    assert __file__ in reason
    assert first < named < first + len(lines)


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: code.__name__)
def test_in_a_submodule_such_code_becomes_one_node(check, code):
    (leaf,) = check(nn.Sequential(nn.ReLU(), Code(code)), SHAPE, batches=(2, 5)).leaves
    assert (leaf.class_name, leaf.paths) == ("Code", ("1",))
    assert __file__ in leaf.reason
