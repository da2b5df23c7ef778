"""Eq. 2: against a block written by hand, and the shapes in which it runs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.graph.layers.layer_graph import LayerPair, Nonlinearity, Signal
from n2nsurgery.skips.kind import SkipOptions, build
from n2nsurgery.skips.kinds.n2n import N2N, N2NSkip
from n2nsurgery.skips.spec import Alignment, SkipSpec

RELU = Nonlinearity(name="ReLU")


def signal(*shape: int, layout: str = "channels_first") -> Signal:
    return Signal(address="x", shape=shape, layout=layout)


def pair(source: Signal, target: Signal, nonlinearity: Nonlinearity | None = RELU) -> LayerPair:
    return LayerPair(
        source="a", target="z", source_signal=source, target_signal=target, length=3, nonlinearity=nonlinearity
    )


def skip_spec(source: Signal, target: Signal, kernel: tuple[int, ...] = (3, 3), **changes) -> SkipSpec:
    here = pair(source, target)
    return SkipSpec(
        name="n2n_skips.0",
        kind="n2n",
        pair=here,
        align=changes.pop("align", Alignment()),
        kernel=kernel,
        weight_shape=N2N().weight_shape(here, kernel),
        **changes,
    )


def test_equation_2_equals_a_hand_written_block_of_three_convolutions():
    torch.manual_seed(0)
    c1, c2, c3, c4 = 4, 6, 5, 7
    w1, w2, w3 = torch.randn(c2, c1, 3, 3), torch.randn(c3, c2, 3, 3), torch.randn(c4, c3, 3, 3)
    sparse = torch.randn(c4, c1, 3, 3) * (torch.rand(c4, c1, 3, 3) < 0.1)
    a1 = torch.relu(torch.randn(2, c1, 9, 9))
    z4 = F.conv2d(torch.relu(F.conv2d(torch.relu(F.conv2d(a1, w1, padding=1)), w2, padding=1)), w3, padding=1)
    by_hand = torch.relu(z4 + torch.relu(F.conv2d(a1, sparse, padding=1)))

    skip = build(skip_spec(signal(c1, 9, 9), signal(c4, 9, 9)))
    assert isinstance(skip, N2NSkip)
    with torch.no_grad():
        skip.weight.copy_(sparse)
    assert torch.equal(torch.relu(skip(z4, a1)), by_hand)


def test_without_the_inner_activation_the_branch_is_linear():
    skip = build(skip_spec(signal(2, 4, 4), signal(2, 4, 4), (1, 1), inner=False))
    nn.init.constant_(skip.weight, -1.0)
    a = torch.ones(1, 2, 4, 4)
    assert torch.equal(skip(torch.zeros(1, 2, 4, 4), a), torch.full((1, 2, 4, 4), -2.0))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_the_norm_stands_before_the_inner_activation(layout):
    torch.manual_seed(0)
    shape = (3, 5, 4) if layout == "channels_first" else (5, 4, 3)
    here = signal(*shape, layout=layout)
    skip = build(skip_spec(here, here, (1, 1), norm=True))
    nn.init.normal_(skip.weight)
    z, a = torch.randn(2, 6, *shape)
    channels = 1 if layout == "channels_first" else 3
    projected = torch.einsum("oi,ni...->no...", skip.weight.flatten(1), a.movedim(channels, 1))
    others = [dim for dim in range(4) if dim != 1]
    mean, variance = projected.mean(others, keepdim=True), projected.var(others, keepdim=True, unbiased=False)
    branch = torch.relu((projected - mean) / torch.sqrt(variance + 1e-5)).movedim(1, channels)
    # Two float32 computations in another order of summation, over 120 values per channel of size 1.
    torch.testing.assert_close(skip(z, a), z + branch, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [(1,), (2,), (3,), (4,), (5,)])
def test_every_kernel_keeps_the_size_and_looks_around_its_own_position(kernel):
    skip = build(skip_spec(signal(1, 6), signal(1, 6), kernel, inner=False))
    with torch.no_grad():
        skip.weight[0, 0, kernel[0] // 2] = 1
    a = torch.arange(6.0).view(1, 1, 6)
    assert torch.equal(skip(torch.zeros(1, 1, 6), a), a)


def test_three_dimensions_pool_and_convolve():
    source, target = signal(2, 4, 8, 8), signal(3, 2, 4, 4)
    skip = build(skip_spec(source, target, (3, 3, 3), align=Alignment(factor=(2, 2, 2))))
    assert skip.weight.shape == (3, 2, 3, 3, 3)
    assert skip(torch.zeros(2, 3, 2, 4, 4), torch.randn(2, 2, 4, 8, 8)).shape == (2, 3, 2, 4, 4)


def test_a_target_with_channels_last_gets_a_linear_map():
    here = signal(5, 4, 3, layout="channels_last")
    assert N2N().weight_shape(pair(signal(2, 5, 4), here), (7, 7)) == (3, 2)
    assert N2N().weight_shape(pair(signal(2, 5, 4), signal(8)), ()) == (8, 2)


def test_a_kernel_of_another_rank_is_a_usage_error():
    with pytest.raises(UsageError, match="2 sizes"):
        N2N().weight_shape(pair(signal(2, 5, 4), signal(3, 5, 4)), (3,))


def test_an_activation_that_cannot_be_built_is_refused_only_on_the_branch():
    random = pair(signal(2, 4), signal(2, 4), Nonlinearity(name="RReLU"))
    assert "at random" in (N2N().accepts(random, SkipOptions()) or "")
    assert N2N().accepts(random, SkipOptions(inner=False)) is None


@pytest.mark.parametrize("name", ["Sigmoid", "Softplus", "PReLU", "SiLU", "GELU"])
def test_without_weights_a_branch_adds_nothing_whatever_its_function_is_at_zero(name):
    here = pair(signal(2, 4), signal(3, 4), Nonlinearity(name=name))
    shape = N2N().weight_shape(here, (1,))
    spec = SkipSpec(name="n2n_skips.0", kind="n2n", pair=here, align=Alignment(), kernel=(1,), weight_shape=shape)
    z = torch.linspace(-3, 3, 24).view(2, 3, 4)
    assert torch.equal(build(spec)(z, torch.ones(2, 2, 4)), z)


@pytest.mark.parametrize(
    ("slopes", "target", "reason"),
    [
        (1, signal(4, 3, layout="channels_last"), None),
        (3, signal(3, 4), None),
        (3, signal(3), None),
        (4, signal(4, 3, layout="channels_last"), "PReLU has 4 slopes, not one and not one for each of the 3 channels"),
        (10**15, signal(3, 4), "PReLU has 1000000000000000 slopes"),
    ],
)
def test_prelu_has_one_slope_or_one_for_each_channel(slopes, target, reason):
    prelu = Nonlinearity(name="PReLU", arguments=(("num_parameters", slopes),))
    refused = N2N().accepts(pair(target, target, prelu), SkipOptions())
    assert (refused is None) if reason is None else (refused or "").startswith(reason)


def test_a_sum_without_activation_has_the_identity_for_g():
    plain = pair(signal(2, 4), signal(2, 4), None)
    assert N2N().accepts(plain, SkipOptions()) is None


def test_a_weight_shape_that_contradicts_the_pair_is_refused_before_anything_is_allocated():
    here = pair(signal(2, 4), signal(2, 4))
    spec = SkipSpec(
        name="n2n_skips.0", kind="n2n", pair=here, align=Alignment(), kernel=(1,), weight_shape=(10**9, 10**9, 1)
    )
    with pytest.raises(InvalidFileError, match="its pair needs"):
        build(spec)


def test_the_state_dict_holds_the_weight_and_the_norm():
    plain = build(skip_spec(signal(2, 4, 4), signal(3, 4, 4)))
    normed = build(skip_spec(signal(2, 4, 4), signal(3, 4, 4), norm=True))
    assert list(plain.state_dict()) == ["weight"]
    assert {key.split(".")[0] for key in normed.state_dict()} == {"weight", "norm"}
