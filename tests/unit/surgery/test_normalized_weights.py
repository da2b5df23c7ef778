"""Layers with weight or spectral normalization: the weight that is used is pruned, to the exact count, in all steps."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from n2nsurgery import apply, load, report
from n2nsurgery.pipelines.deploy.export import export_onnx
from n2nsurgery.sparse_training.twin import sparse_training
from n2nsurgery.surgery.pruned_model import PrunedModel

KINDS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight": weight_norm,
    "whole": lambda layer: weight_norm(layer, dim=None),
    "spectral": spectral_norm,
    "both": lambda layer: spectral_norm(weight_norm(layer)),
}
X = torch.linspace(-2, 2, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8)
kinds = pytest.mark.parametrize("kind", KINDS)


def network(kind: str) -> nn.Sequential:
    """Convolutions and a linear layer, each with a normalized weight; always the same values."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=2), nn.ConvTranspose2d(6, 6, 2), nn.Conv2d(6, 6, 3)]
        flat = (nn.Flatten(), KINDS[kind](nn.Linear(54, 5)))
        return nn.Sequential(*(part for each in layers for part in (KINDS[kind](each), nn.ReLU())), *flat).eval()


def weights(pruned: PrunedModel) -> dict[str, torch.Tensor]:
    """The weights that are used, by the name of the masked parameter."""
    layers = {name: name.partition(".parametrizations")[0].removesuffix(".weight") for name in pruned.masks}
    return {name: pruned.module.get_submodule(layer).weight.detach() for name, layer in layers.items()}


def trained(module: nn.Module) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        module.train()(X).square().mean().backward()
        optimizer.step()
    module.eval()


@kinds
@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_the_used_weights_keep_the_exact_counts_at_once_and_after_training(kind, engine):
    pruned = apply(network(kind), example_inputs=X, density=0.2, engine=engine)
    assert pruned.plan.skips
    for _ in range(2):
        found = {name: int(weight.count_nonzero()) for name, weight in weights(pruned).items()}
        assert sum(found.values()) == pruned.plan.budget.total == round(0.2 * pruned.plan.budget.reference)
        assert found == pruned.masks.counts
        trained(pruned.module)


@kinds
@pytest.mark.parametrize("criterion", ["magnitude", "snip", "force", "synflow", "random"])
def test_rows_and_layers_that_keep_nothing_are_zero_and_have_finite_gradients(kind, criterion):
    data = [(X, torch.tensor([0, 1, 2, 3]))] if criterion in {"snip", "force"} else None
    pruned = apply(network(kind), example_inputs=X, density=0.01, skip="none", criterion=criterion, data=data)
    dead = sum(int((weight.flatten(1) == 0).all(1).sum()) for weight in weights(pruned).values())
    assert dead > 0
    trained(pruned.module)
    values = [*weights(pruned).values(), *pruned.module.parameters(), pruned.module(X)]
    assert all(bool(value.isfinite().all()) for value in values)


@kinds
def test_what_is_kept_is_computed_as_torch_does(kind):
    pruned = apply(network(kind), example_inputs=X, density=0.5, skip="none")
    plain = network(kind)
    plain.load_state_dict(pruned.module.state_dict())
    assert torch.equal(pruned.module(X), plain(X))


def test_the_largest_weights_are_the_largest_of_those_that_are_used():
    model = network("weight")
    with torch.no_grad():
        model[0].parametrizations.weight.original1.mul_(100)  # w stays as it is
    unpruned = weights(apply(model, example_inputs=X, density=1.0, skip="none"))
    pruned = apply(model, example_inputs=X, density=0.5, skip="none", criterion="magnitude")
    kept = weights(pruned)
    threshold = torch.cat([weight.abs().flatten() for weight in unpruned.values()]).quantile(0.5)
    assert all(torch.equal(kept[name] != 0, weight.abs() > threshold) for name, weight in unpruned.items())


@kinds
def test_saved_copied_exported_and_reported_is_what_runs(kind, tmp_path):
    original = network(kind)
    pruned = apply(original, example_inputs=X, density=0.2)
    trained(pruned.module)
    expected = pruned.module(X)
    assert torch.equal(load(pruned.save(tmp_path / "a"), network(kind)).module.eval()(X), expected)
    assert torch.equal(copy.deepcopy(pruned.module)(X), expected)
    exported = export_onnx(pruned, tmp_path / "net.onnx")
    assert {record.name for record in exported.weights} >= {"0.weight", "2.weight", "4.weight", "6.weight", "9.weight"}
    assert all(each.difference <= 1e-5 * max(1.0, each.scale) for each in exported.parity)  # float32 sums
    assert not [note for note in report(pruned).to_json()["notes"] if "computed" in note]
    # Float32 sums in another order.
    torch.testing.assert_close(sparse_training(pruned.module).eval()(X), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(pruned.module(X), expected)
    assert original(X).isfinite().all()
