"""Alignment: the table of cases, and tensors brought to the planned size."""

import pytest
import torch

from n2nsurgery.core.errors import RunError
from n2nsurgery.graph.layers.layer_graph import Signal
from n2nsurgery.skips.alignment import align, fitted, plan_alignment
from n2nsurgery.skips.spec import Alignment


def first(*shape: int) -> Signal:
    return Signal(address="x", shape=shape, layout="channels_first")


def last(*shape: int) -> Signal:
    return Signal(address="x", shape=shape, layout="channels_last")


TABLE = [
    pytest.param(first(3, 8, 8), first(5, 8, 8), Alignment(), (3, 8, 8), id="equal"),
    pytest.param(first(3, 8), first(5, 4), Alignment(factor=(2,)), (3, 4), id="1d"),
    pytest.param(first(3, 8, 9), first(5, 4, 3), Alignment(factor=(2, 3)), (3, 4, 3), id="2d"),
    pytest.param(first(3, 4, 8, 8), first(5, 2, 4, 4), Alignment(factor=(2, 2, 2)), (3, 2, 4, 4), id="3d"),
    pytest.param(first(3, 9, 8), first(5, 4, 4), Alignment(factor=(2, 2)), (3, 4, 4), id="pool leaves no rest"),
    pytest.param(first(3, 8, 7), first(5, 5, 7), Alignment(crop=(5, 7)), (3, 5, 7), id="crop alone"),
    pytest.param(first(3, 11, 8), first(5, 4, 4), Alignment(factor=(2, 2), crop=(4, 4)), (3, 4, 4), id="pool and crop"),
    pytest.param(first(3, 4, 4), first(5, 8, 9), Alignment(upsample=(8, 9)), (3, 8, 9), id="upsample"),
    pytest.param(
        first(3, 8, 4),
        first(5, 4, 8),
        Alignment(factor=(2, 1), upsample=(4, 8)),
        (3, 4, 8),
        id="smaller and larger at once",
    ),
    pytest.param(first(3, 4, 4), first(5), Alignment(vector=True), (3,), id="conv to linear"),
    pytest.param(last(4, 4, 3), last(5), Alignment(vector=True, permute_in=True), (3,), id="channels last to linear"),
    pytest.param(last(3), last(5), Alignment(), (3,), id="linear to linear"),
    pytest.param(last(8, 8, 3), last(8, 8, 5), Alignment(), (8, 8, 3), id="channels last, equal"),
    pytest.param(
        last(8, 8, 3),
        last(4, 4, 5),
        Alignment(factor=(2, 2), permute_in=True, permute_out=True),
        (4, 4, 3),
        id="channels last, pooled",
    ),
    pytest.param(last(8, 8, 3), first(5, 8, 8), Alignment(permute_in=True), (3, 8, 8), id="last to first"),
    pytest.param(first(3, 8, 8), last(8, 8, 5), Alignment(permute_out=True), (8, 8, 3), id="first to last"),
    pytest.param(last(7, 3), last(7, 5), Alignment(), (7, 3), id="tokens of equal length"),
    pytest.param(first(3, 1, 1), first(5, 1, 1), Alignment(), (3, 1, 1), id="one position to one position"),
]


@pytest.mark.parametrize(("source", "target", "expected", "shape"), TABLE)
def test_a_pair_of_shapes_has_this_alignment(source, target, expected, shape):
    plan = plan_alignment(source, target)
    assert plan == expected
    a, z = torch.randn(2, *source.shape), torch.randn(2, *target.shape)
    assert align(a, plan).shape == (2, *shape)
    assert fitted(plan, a, z, channels_last=target.layout == "channels_last" and len(target.shape) > 1) == plan


@pytest.mark.parametrize(
    ("planned", "at_hand", "expected"),
    [
        pytest.param((8, 4), (12, 6), Alignment(factor=(2,)), id="the ratio stays"),
        pytest.param((8, 4), (13, 7), Alignment(factor=(2,), upsample=(7,)), id="rounded up"),
        pytest.param((8, 4), (13, 6), Alignment(factor=(2,)), id="rounded down"),
        pytest.param((8, 4), (16, 4), Alignment(factor=(4,)), id="a target of fixed size"),
        pytest.param((8, 8), (12, 6), Alignment(factor=(2,)), id="equal when planned"),
        pytest.param((8, 4), (6, 6), Alignment(), id="equal now"),
        pytest.param((4, 8), (6, 12), Alignment(upsample=(12,)), id="repeated"),
    ],
)
def test_another_input_size_has_the_alignment_of_its_own_sizes(planned, at_hand, expected):
    plan = plan_alignment(first(3, planned[0]), first(5, planned[1]))
    a, z = torch.randn(2, 3, at_hand[0]), torch.randn(2, 5, at_hand[1])
    found = fitted(plan, a, z, channels_last=False)
    assert found == expected
    assert align(a, found).shape == (2, 3, at_hand[1])


def test_channels_last_of_equal_size_when_planned_are_pooled_where_sizes_differ():
    plan = plan_alignment(last(4, 4, 3), last(4, 4, 5))
    a, z = torch.randn(2, 8, 8, 3), torch.randn(2, 4, 4, 5)
    found = fitted(plan, a, z, channels_last=True)
    assert found == Alignment(factor=(2, 2), permute_in=True, permute_out=True)
    assert align(a, found).shape == (2, 4, 4, 3)


def test_tokens_of_lengths_that_differ_are_refused_with_both():
    plan = plan_alignment(last(7, 3), last(7, 5))
    with pytest.raises(RunError, match="a skip cannot bring 9 tokens to 8"):
        fitted(plan, torch.randn(2, 9, 3), torch.randn(2, 8, 5), channels_last=True)


@pytest.mark.parametrize("pooling", ["average", "max", "stride"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("source", "target", "shape"), [(case.values[0], case.values[1], case.values[3]) for case in TABLE]
)
def test_every_pooling_reaches_the_target_size_in_every_dtype_and_leaves_the_source_alone(
    source, target, shape, dtype, pooling
):
    plan = plan_alignment(source, target, pooling)
    a = torch.randn(2, *source.shape).to(dtype)
    before = a.clone()
    aligned = align(a, plan)
    assert aligned.shape == (2, *shape)
    assert aligned.dtype == dtype
    assert torch.equal(a, before)


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (first(3), first(5, 4, 4), "a vector has no positions"),
        (first(3, 4, 4), first(5, 4), "ranks differ"),
        (first(3, 4, 4), first(5, 1, 1), "single position"),
        (last(7, 3), last(8, 5), "different lengths (7 and 8)"),
        (first(3, 8), last(4, 5), "different lengths (8 and 4)"),
        (first(3, 4, 4, 4, 4), first(5, 2, 2, 2, 2), "up to 3"),
    ],
)
def test_what_cannot_be_aligned_is_refused_with_the_reason(source, target, reason):
    plan = plan_alignment(source, target)
    assert isinstance(plan, str)
    assert reason in plan


def test_the_poolings_take_mean_maximum_and_first_of_each_window():
    a = torch.tensor([[[1.0, 3.0, 7.0, 5.0]]])
    plans = {p: plan_alignment(first(1, 4), first(1, 2), p) for p in ("average", "max", "stride")}
    assert align(a, plans["average"]).tolist() == [[[2.0, 6.0]]]
    assert align(a, plans["max"]).tolist() == [[[3.0, 7.0]]]
    assert align(a, plans["stride"]).tolist() == [[[1.0, 7.0]]]


def test_a_stride_that_leaves_a_position_too_many_is_cropped():
    plan = plan_alignment(first(1, 7), first(1, 3), "stride")
    assert plan == Alignment(pooling="stride", factor=(2,), crop=(3,))
    assert align(torch.arange(7.0).view(1, 1, 7), plan).tolist() == [[[0.0, 2.0, 4.0]]]


def test_pooling_channels_last_equals_pooling_channels_first():
    a = torch.randn(2, 3, 8, 8)
    plan_first = plan_alignment(first(3, 8, 8), first(3, 4, 4))
    plan_last = plan_alignment(last(8, 8, 3), last(4, 4, 3))
    assert torch.equal(align(a.movedim(1, -1), plan_last).movedim(-1, 1), align(a, plan_first))
