"""Start values: what stands where, at which scale, and that draws do not depend on device or dtype."""

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.skips.initialize import NEAR_ZERO, effective_fan_in, initialize, one_to_one_start


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("incoming", "shortcut", "start"), [(1, False, 1.0), (4, False, 0.25), (1, True, 0.25), (2, True, 0.125)]
)
def test_weights_arriving_at_a_channel_sum_to_one_or_a_quarter_beside_a_shortcut(incoming, shortcut, start):
    assert one_to_one_start(incoming, shortcut=shortcut) == start


def test_a_target_without_skips_has_no_start_value():
    with pytest.raises(UsageError, match="at least 1"):
        one_to_one_start(0, shortcut=False)


def test_one_to_one_entries_take_the_start_value_and_the_pruned_ones_zero():
    mask = torch.eye(4, dtype=torch.bool)
    weight = torch.full((4, 4), 9.0)
    initialize(weight, mask, start=0.5, generator=generator())
    assert torch.equal(weight, 0.5 * torch.eye(4))


def test_entries_beyond_the_one_to_one_ones_start_near_zero_but_not_at_zero():
    primary = torch.eye(8, dtype=torch.bool)
    mask = torch.ones(8, 8, dtype=torch.bool)
    weight = torch.zeros(8, 8)
    initialize(weight, mask, start=1.0, generator=generator(), primary=primary)
    rest = weight[~primary]
    assert torch.equal(weight[primary], torch.ones(8))
    assert bool((rest != 0).all())
    # Six standard deviations: 56 normal draws exceed it with a probability of 1e-7, and the seed is fixed.
    assert float(rest.abs().max()) < 6 * NEAR_ZERO


def test_random_weights_have_kaiming_scale_for_the_fan_in_the_mask_leaves():
    mask = torch.zeros(400, 100, 3, 3, dtype=torch.bool)
    mask[:200, :8, 1, 1] = True
    weight = torch.zeros(mask.shape)
    initialize(weight, mask, start=None, generator=generator())
    assert effective_fan_in(mask) == 8.0
    assert int(weight.count_nonzero()) == 1600
    # The standard deviation of 1,600 draws is within 1.8 % of the true one (1/sqrt(2n)); four times that.
    assert float(weight[mask].std()) == pytest.approx((2 / 8) ** 0.5, rel=0.07)


def test_an_empty_mask_leaves_zeros():
    weight = torch.ones(2, 2)
    initialize(weight, torch.zeros(2, 2, dtype=torch.bool), start=None, generator=generator())
    assert not weight.any()


def test_the_same_generator_gives_the_same_values_in_every_dtype():
    mask = torch.rand(6, 5, generator=generator()) < 0.5
    weights = [torch.zeros(6, 5, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64)]
    for weight in weights:
        initialize(weight, mask, start=None, generator=generator(3))
    assert torch.equal(weights[0].to(torch.bfloat16), weights[1])
    assert torch.equal(weights[0].double(), weights[2])


def test_a_parameter_keeps_its_identity_and_its_gradient_flag():
    weight = torch.nn.Parameter(torch.zeros(3, 3))
    initialize(weight, torch.eye(3, dtype=torch.bool), start=1.0, generator=generator())
    assert weight.requires_grad
    assert weight.is_leaf


@pytest.mark.parametrize(
    ("mask", "message"), [(torch.ones(2, 3, dtype=torch.bool), "same shape"), (torch.ones(2, 2), "torch.bool")]
)
def test_a_mask_of_another_shape_or_type_is_refused(mask, message):
    with pytest.raises(UsageError, match=message):
        initialize(torch.zeros(2, 2), mask, start=None, generator=generator())
