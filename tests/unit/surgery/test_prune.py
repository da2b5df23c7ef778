from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from n2nsurgery import apply
from n2nsurgery.core.errors import BudgetError, UnknownNameError, UsageError
from n2nsurgery.skips.initialize import effective_fan_in

BESIDE = "two-blocks"


def skip_weights(pruned) -> dict[str, torch.Tensor]:
    return {skip.name: pruned.module.get_parameter(f"{skip.name}.weight").detach() for skip in pruned.plan.skips}


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_network_with_weights_that_are_no_numbers_is_refused(plain, images, broken):
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.view(-1)[0] = broken
    others = len(list(plain.parameters())) - 1
    with pytest.raises(
        UsageError, match=rf"values of .* are NaN or infinite \(1 of [\d,]+, and some in {others} other"
    ):
        apply(plain, density=0.5, example_inputs=images)


def test_buffers_may_hold_infinities(plain, images):
    plain.register_buffer("mask", torch.full((2,), -torch.inf))
    assert apply(plain, density=0.5, example_inputs=images).masks.kept


def test_a_one_to_one_skip_holds_one_weight_of_one_for_each_target_channel(pruned):
    assert len(pruned.plan.skips) == 2
    for skip, weight in zip(pruned.plan.skips, skip_weights(pruned).values(), strict=True):
        mask = pruned.masks[f"{skip.name}.weight"]
        assert mask.flatten(1).sum(dim=1).tolist() == [1] * 8
        assert mask.flatten(1).sum(dim=0).tolist() == [1] * 8  # a permutation of the source's channels
        assert weight[mask].tolist() == [1.0] * 8


def test_the_remainder_of_a_one_to_one_skip_is_random_near_zero_and_not_zero(plain, images):
    pruned = apply(plain, density=0.5, skip_ratio=0.08, example_inputs=images)
    for skip, weight in zip(pruned.plan.skips, skip_weights(pruned).values(), strict=True):
        ones = weight == 1
        rest = pruned.masks[f"{skip.name}.weight"] & ~ones
        assert ones.flatten(1).sum(dim=1).tolist() == [1] * 8
        assert int(rest.sum()) == skip.kept - 8 > 0
        assert weight[rest].all()
        # drawn from a normal distribution with a standard deviation of 1e-6, of which six are never seen
        assert weight[rest].abs().max() < 6e-6


def test_kernels_of_the_target_hold_their_one_to_one_weights_in_the_centre(plain, images):
    pruned = apply(plain, density=0.5, skip_ratio=0.08, skip_kernel="target", example_inputs=images)
    for weight in skip_weights(pruned).values():
        ones = (weight == 1).nonzero()
        assert ones[:, 0].tolist() == list(range(8))
        assert ones[:, 2:].eq(1).all()  # of 0, 1 and 2


def test_redistribution_may_serve_some_channels_alone(plain, images):
    pruned = apply(plain, density=0.3, skip_ratio=0.01, redistribute=True, example_inputs=images)
    masks = [pruned.masks[f"{skip.name}.weight"].flatten(1) for skip in pruned.plan.skips]
    assert sum(int(mask.sum()) for mask in masks) == pruned.plan.budget.skips == 8
    assert all(mask.sum(dim=1).max() == 1 for mask in masks)


def test_random_skips_follow_kaiming_with_the_fan_in_that_is_left(plain, images):
    pruned = apply(
        plain, density=0.6, skip_ratio=0.2, skip_pattern="random", skip_kernel="target", example_inputs=images
    )
    for skip, weight in zip(pruned.plan.skips, skip_weights(pruned).values(), strict=True):
        mask = pruned.masks[f"{skip.name}.weight"]
        expected = sqrt(2 / effective_fan_in(mask))
        # The dense fan-in is 72. Of 153 draws, the sample's standard deviation is within 4 / sqrt(2 * 153) = 23 % of
        # the true one; with the dense fan-in it would be half of it.
        assert effective_fan_in(mask) < 20
        assert weight[mask].std().item() == pytest.approx(expected, rel=0.23)
        fan_in, fan_out = mask.flatten(1).sum(dim=1), mask.flatten(2).sum(dim=(0, 2))
        assert fan_in.max() - fan_in.min() <= 1
        assert fan_out.max() - fan_out.min() <= 1


def test_beside_a_shortcut_one_to_one_starts_at_a_quarter(residual, images):
    pruned = apply(residual, density=0.3, skip_placement=BESIDE, example_inputs=images)
    assert {skip.pair.target for skip in pruned.plan.skips if skip.pair.shortcut} == {
        "blocks.1.conv2",
        "blocks.2.conv2",
    }
    for skip, weight in zip(pruned.plan.skips, skip_weights(pruned).values(), strict=True):
        assert set(weight[weight != 0].tolist()) == {0.25 if skip.pair.shortcut else 1.0}


def test_beside_a_shortcut_a_random_branch_is_normalized_and_elsewhere_it_is_not(residual, images):
    pruned = apply(
        residual, density=0.5, skip_ratio=0.3, skip_pattern="random", skip_placement=BESIDE, example_inputs=images
    )
    assert {skip.pair.shortcut for skip in pruned.plan.skips} == {True, False}
    for skip in pruned.plan.skips:
        norm = pruned.module.get_submodule(skip.name).norm
        assert isinstance(norm, nn.BatchNorm2d) if skip.pair.shortcut else norm is None


def test_density_one_without_skips_leaves_weights_and_outputs_as_they_are(plain, images):
    pruned = apply(plain, density=1, skip_ratio=0, example_inputs=images)
    assert list(pruned.module.state_dict()) == list(plain.state_dict())
    for name, tensor in pruned.module.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name])
    for training in (False, True):
        assert torch.equal(pruned.module.train(training)(images), plain.train(training)(images))


def test_kept_weights_are_those_of_the_dense_model(plain, pruned):
    for name, mask in pruned.masks.items():
        if not name.startswith("n2n_skips."):
            weight = pruned.module.get_parameter(name).detach()
            assert torch.equal(weight[mask], plain.get_parameter(name).detach()[mask])


def test_layers_kept_dense_lose_nothing_and_are_part_of_the_budget(plain, images):
    pruned = apply(plain, density=0.3, ignore=("conv0", "head"), example_inputs=images)
    assert pruned.masks["conv0.weight"].all()
    assert pruned.masks["head.weight"].all()
    assert pruned.masks.kept == pruned.plan.budget.total == round(0.3 * pruned.plan.budget.reference)


BATCH = (torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(5)), torch.arange(16) % 4)
DATA = {
    "one batch": BATCH,
    "a list": [BATCH, BATCH],
    "a loader": DataLoader(TensorDataset(*BATCH), batch_size=8),
}


@pytest.mark.parametrize("criterion", ["snip", "csp", "grasp"])
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_criteria_look_at_the_data_that_is_given(plain, images, criterion, data):
    pruned = apply(plain, density=0.3, criterion=criterion, example_inputs=images, data=data)
    assert pruned.record.data == "given"
    assert pruned.masks.kept == pruned.plan.budget.total
    without = apply(plain, density=0.3, criterion=criterion, example_inputs=images)
    assert pruned.masks != without.masks


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_noise_in_the_place_of_data_is_seeded_recorded_and_said(plain, images, criterion, caplog):
    pruned = apply(plain, density=0.3, criterion=criterion, example_inputs=images, seed=7)
    assert pruned.record.data == "noise(seed=7,batch_size=128,count=1)"
    assert "has no data: it scores seeded noise" in caplog.text
    again = apply(plain, density=0.3, criterion=criterion, example_inputs=images, seed=7)
    assert again.masks == pruned.masks


def test_synflow_needs_the_shape_of_the_input_alone(plain, images, caplog):
    pruned = apply(plain, density=0.3, criterion="synflow", example_inputs=images, criterion_options={"rounds": 3})
    assert pruned.masks.kept == pruned.plan.budget.total
    assert "noise" not in caplog.text
    other = apply(
        plain, density=0.3, criterion="synflow", example_inputs=images, criterion_options={"rounds": 3}, seed=1
    )
    sequential = [name for name in pruned.masks if not name.startswith("n2n_skips.")]
    assert all(torch.equal(pruned.masks[name], other.masks[name]) for name in sequential)


def test_magnitude_keeps_the_largest(plain, images):
    pruned = apply(plain, density=0.3, skip="none", criterion="magnitude", example_inputs=images)
    weights = {name: plain.get_parameter(name).detach().abs() for name in pruned.masks}
    kept = torch.cat([weights[name][mask] for name, mask in pruned.masks.items()])
    removed = torch.cat([weights[name][~mask] for name, mask in pruned.masks.items()])
    assert kept.min() >= removed.max()
    assert pruned.record.data is None


def test_a_lower_density_keeps_a_subset_where_the_scores_are_the_same(plain, images):
    many, few = (
        apply(plain, density=density, skip="none", criterion="snip", example_inputs=images, data=BATCH).masks
        for density in (0.4, 0.1)
    )
    assert all(not (few[name] & ~many[name]).any() for name in many)


def test_scoring_leaves_no_trace(plain, images):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    pruned = apply(plain, density=0.3, criterion="snip", example_inputs=images)
    assert torch.equal(torch.rand(3), expected)
    assert all(parameter.grad is None for parameter in pruned.module.parameters())
    for name, buffer in pruned.module.named_buffers():
        assert torch.equal(buffer, plain.get_buffer(name)), name


def test_a_layer_without_a_weight_is_called_cut_loudly_and_recorded_with_a_remedy(plain, images, caplog):
    with torch.no_grad():
        plain.conv2.weight.mul_(1e-3)
    pruned = apply(plain, density=0.2, criterion="magnitude", example_inputs=images)
    [warning] = pruned.record.warnings
    assert warning == (
        "cut layer: 'conv2.weight' keeps none of its 576 weights, so nothing passes it; raise the density, set "
        "keep_alive, floor_layer or floor_channel, or keep it dense with ignore 'conv2'"
    )
    assert caplog.text.count(warning) == 1
    (line,) = [line for line in pruned.record.kept if line.name == "conv2.weight"]
    assert (line.kept, line.numel, line.channels, line.silent) == (0, 576, 8, 8)


def test_several_layers_without_a_weight_are_named_in_one_warning(plain, images):
    with torch.no_grad():
        plain.conv2.weight.mul_(1e-3)
        plain.conv3.weight.mul_(1e-3)
    pruned = apply(plain, density=0.2, criterion="magnitude", example_inputs=images)
    [warning] = pruned.record.warnings
    assert warning == (
        "cut layers: 2 layers keep no weight, so nothing passes them: 'conv2', 'conv3'; raise the density, set "
        "keep_alive, floor_layer or floor_channel, or keep them dense with ignore PATTERN"
    )


def test_a_floor_keeps_every_channel_alive_and_is_recorded(plain, images):
    with torch.no_grad():
        plain.conv2.weight.mul_(1e-3)
    pruned = apply(plain, density=0.2, criterion="magnitude", floor_channel=2, example_inputs=images)
    assert pruned.plan.config.floor_channel == 2
    assert all(line.silent == 0 for line in pruned.record.kept)
    assert pruned.masks["conv2.weight"].flatten(1).sum(dim=1).min() == 2
    assert pruned.masks.kept == pruned.plan.budget.total


def test_floors_that_do_not_fit_are_an_error_with_the_numbers(plain, images):
    with pytest.raises(BudgetError, match=r"the floors ask for \d+"):
        apply(plain, density=0.05, floor_layer=100, example_inputs=images)


def test_the_record_counts_what_is_kept_and_names_the_versions(pruned):
    assert {line.name: line.kept for line in pruned.record.kept} == pruned.masks.counts
    assert (pruned.record.plan, pruned.record.masks) == (pruned.plan.fingerprint, pruned.masks.fingerprint)
    assert {"n2nsurgery", "torch", "numpy", "python"} == {name for name, _ in pruned.record.versions}
    assert pruned.record.data is None


class Fickle(nn.Module):
    """Code that depends on the batch size, which no graph can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.conv(x) if x.shape[0] > 5 else self.conv(-x)


def test_what_stayed_opaque_to_the_tracer_is_recorded(images):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), Fickle())
    pruned = apply(model, density=0.5, example_inputs=images)
    (leaf,) = pruned.record.leaves
    assert leaf.source == "Fickle: 2"
    assert "test_prune.py" in leaf.reason
    assert pruned.masks["2.conv.weight"].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"criterion": "snib"}, UnknownNameError, "unknown criterion 'snib'; did you mean 'snip'"),
        ({"criterion_options": {"alocation": "erk"}}, UnknownNameError, "did you mean 'allocation'"),
        ({"criterion_options": {"allocation": "urk"}}, UnknownNameError, "'urk'; did you mean 'erk'"),
        ({"criterion": "synflow", "criterion_options": {"rounds": 0}}, UsageError, "rounds is 0"),
        ({"floor_layer": -1}, UsageError, "floor_layer is -1; it must be a whole number from 0"),
        ({"skip_length": 1}, UsageError, "skip_length is 1; it must be a whole number from 2"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_changed(plain, images, options, error, message):
    with pytest.raises(error, match=message):
        apply(plain, density=0.3, example_inputs=images, **options)


def test_a_network_is_operated_on_once(pruned, images):
    with pytest.raises(UsageError, match="was pruned before: start again from the dense model"):
        apply(pruned.module, density=0.1, example_inputs=images)


def test_the_loss_is_the_callers_choice(plain, images):
    def first_output(output, targets):
        return output[:, 0].sum() + 0 * targets.sum()

    pruned = apply(
        plain, density=0.3, skip="none", criterion="snip", example_inputs=images, data=BATCH, loss=first_output
    )
    assert pruned.masks["head.weight"][0].any()
    # What leads to other outputs has no influence on this loss, and is kept only where nothing else is left.
    assert not pruned.masks["head.weight"][1:].any()
