"""What the kept weights of a layer are before training, by `start`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import PrunedModel, apply, load
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.masks.grid import to_grid
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.recipe.resolve import resolve
from n2nsurgery.recipe.yaml_text import parse_yaml
from n2nsurgery.surgery.planning.config import SurgeryConfig


def network() -> nn.Module:
    """Layers of every layout that masks know, groups and a layer with more outputs than inputs among them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1), nn.ReLU(), nn.Conv2d(40, 24, 3, groups=4, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(24, 16, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


EXAMPLE = torch.zeros(2, 3, 8, 8)


def started(start: str, **options) -> PrunedModel:
    return apply(network(), example_inputs=EXAMPLE, start=start, **({"density": 0.3, "skip": "none"} | options))


def by_output(pruned: PrunedModel, values: Tensor, name: str) -> Tensor:
    """`values` of the weight `name` as (groups, outputs, inputs x taps)."""
    weight = next(each for each in pruned.plan.weights if each.name == name)
    return torch.from_numpy(to_grid(values.detach().double().numpy(), weight).copy()).flatten(2)


def far_from_orthogonal(rows: Tensor) -> float:
    """How far the singular values are from being equal: their standard deviation over their root mean square."""
    singular = torch.linalg.svdvals(rows)
    return float(singular.std(correction=0) / singular.square().mean().sqrt())


@pytest.mark.parametrize("start", ["fan-in", "orthogonal"])
def test_masks_counts_biases_and_pruned_weights_are_those_of_the_dense_start(start):
    plain, other = started("dense"), started(start)
    assert other.masks == plain.masks
    for name, mask in other.masks.items():
        values = other.module.get_parameter(name)
        assert not values[~mask].any()
        whole = start == "fan-in" and bool(mask.all())  # erk keeps the small last layer in full
        assert torch.equal(values, plain.module.get_parameter(name)) == whole
    biases = [name for name, _ in plain.module.named_parameters() if name.endswith("bias")]
    assert all(torch.equal(other.module.get_parameter(b), plain.module.get_parameter(b)) for b in biases)


def test_the_dense_start_is_the_dense_network_masked_to_the_bit():
    pruned, dense = started("dense"), network()
    for name, mask in pruned.masks.items():
        assert torch.equal(pruned.module.get_parameter(name), dense.get_parameter(name).where(mask, 0))
    assert "start" not in pruned.plan.to_json()["config"]


def test_fan_in_scales_each_output_by_how_many_times_fewer_inputs_it_has():
    plain, scaled = started("dense"), started("fan-in")
    for name, mask in scaled.masks.items():
        kept = by_output(plain, mask, name).sum(2, keepdim=True)
        before, after = (by_output(plain, each.module.get_parameter(name), name) for each in (plain, scaled))
        factor = (before.shape[2] / kept.clamp(min=1)).sqrt()
        torch.testing.assert_close(after, before * factor, rtol=1e-6, atol=0)  # rounded to float32 once


def test_an_orthogonal_start_is_nearer_to_orthogonal_and_has_the_norm_of_the_dense_one():
    plain, found = started("dense"), started("orthogonal")
    for name in found.masks:
        before, after = (by_output(plain, each.module.get_parameter(name), name) for each in (plain, found))
        assert float(after.norm()) == pytest.approx(float(before.norm()), rel=1e-5)  # of values rounded to float32
        for one, other in zip(before, after, strict=True):
            assert far_from_orthogonal(other) < 0.6 * far_from_orthogonal(one)


def test_where_everything_is_kept_an_orthogonal_start_is_orthogonal():
    found = started("orthogonal", density=1.0)
    for name in found.masks:
        rows = by_output(found, found.module.get_parameter(name), name)
        assert all(far_from_orthogonal(each) < 1e-3 for each in rows)  # the last step changes a ten-thousandth


def test_layers_kept_whole_and_skips_have_the_values_that_they_have_anyway():
    plain, other = (apply("cifar-plain17", density=0.1, start=s, ignore=["features.0"]) for s in ("dense", "fan-in"))
    for name in ("features.0.weight", *(f"{skip.name}.weight" for skip in plain.plan.skips)):
        assert torch.equal(other.module.get_parameter(name), plain.module.get_parameter(name))


def test_a_layer_without_a_weight_is_left_so():
    pruned = apply(
        network(), example_inputs=EXAMPLE, density=0.02, skip="none", criterion="magnitude", start="orthogonal"
    )
    empty = [name for name, count in pruned.masks.counts.items() if not count]
    assert empty
    assert not any(pruned.module.get_parameter(name).any() for name in empty)
    assert all(bool(value.isfinite().all()) for value in pruned.module.parameters())


def test_it_is_a_function_of_the_seed_and_is_loaded_with_the_artifact(tmp_path):
    once, again = started("orthogonal"), started("orthogonal")
    state = once.module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.module.state_dict().items())
    once.save(tmp_path / "artifact")
    loaded = load(tmp_path / "artifact", model=network())
    assert loaded.plan.config.start == "orthogonal"
    assert all(torch.equal(value, state[name]) for name, value in loaded.module.state_dict().items())


def test_pretrained_weights_are_not_changed():
    with pytest.raises(UsageError, match="start is 'fan-in', which is for new networks"):
        ApplyRequest(model="resnet18", weights="DEFAULT", surgery=SurgeryConfig(density=0.1, start="fan-in"))
    text = (
        "version: 2\nmodel: {name: resnet18, weights: DEFAULT}\ndata: {name: fake}\ntrain: {}\n"
        "surgery: {density: 0.1, start: orthogonal}\n"
    )
    with pytest.raises(InvalidFileError, match=r"r.yaml:2:34: model.weights is given, but surgery.start 'orthogonal'"):
        resolve(parse_yaml(text, "r.yaml"))


@pytest.mark.parametrize("start", ["fan-in", "orthogonal"])
def test_complex_weights_keep_their_imaginary_part(start):
    torch.manual_seed(0)
    layers = nn.ModuleList(nn.Linear(8, 8, dtype=torch.complex64) for _ in range(2))

    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[1](self.layers[0](x)).abs()

    options = {"example_inputs": torch.zeros(2, 8, dtype=torch.complex64), "density": 0.5, "skip": "none"}
    data = options["example_inputs"], torch.zeros(2, dtype=torch.long)
    plain = apply(Complex(), **options).module.layers[0].weight.detach()
    values = apply(Complex(), start=start, **options).module.layers[0].weight.detach()
    assert torch.equal(values.imag != 0, plain.imag != 0)
    if start == "orthogonal":
        assert float(values.norm()) == pytest.approx(float(plain.norm()), rel=1e-4)
    else:
        inputs = (plain != 0).sum(1, keepdim=True)
        assert torch.allclose(values, plain * (8 / inputs).sqrt())
    assert apply(Complex(), criterion="synflow", criterion_options={"rounds": 2}, data=data, **options).masks.kept == 64
    with pytest.raises(UsageError, match=r"'layers\.0\.weight', 'layers\.1\.weight' cannot be scored: GraSP is stated"):
        apply(Complex(), criterion="grasp", data=data, **options)
