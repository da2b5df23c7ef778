"""Layers that multiply with what they make of their weight: that is pruned, to the exact count, in all steps."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery import apply, load, report
from n2nsurgery.graph.made_weight import makes_its_weight
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.pipelines.deploy.export import export_onnx
from n2nsurgery.sparse_training.twin import sparse_training

timm_layers = pytest.importorskip("timm.layers")


class Centred(nn.Conv2d):
    """Without a division, so that the right values are plain; with an offset that is a buffer."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.register_buffer("offset", torch.full((), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True) + self.offset, self.bias)


class Rows(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, bias=self.bias, weight=F.normalize(self.weight - self.weight.mean(1, keepdim=True), dim=1))


def of_timm(name: str) -> Callable[[int, int], nn.Module]:
    return lambda inputs, outputs: getattr(timm_layers, name)(inputs, outputs, 3)


KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "std": of_timm("StdConv2d"),
    "std-same": of_timm("StdConv2dSame"),
    "scaled": of_timm("ScaledStdConv2d"),
    "scaled-same": of_timm("ScaledStdConv2dSame"),
    "centred": lambda inputs, outputs: Centred(inputs, outputs, 3),
}
X = torch.linspace(-2, 2, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8).sin()
kinds = pytest.mark.parametrize("kind", KINDS)


def network(kind: str) -> nn.Sequential:
    """Three convolutions and a linear layer, all of which make their weight; always the same values."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        convolutions = [KINDS[kind](3, 6), KINDS[kind](6, 6), KINDS[kind](6, 6)]
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), Rows(6, 5))
        return nn.Sequential(*(part for each in convolutions for part in (each, nn.ReLU())), *pooled).eval()


def used_weights(module: nn.Module) -> dict[str, Tensor]:
    """What products are called with, by the layer's name, seen from outside."""
    seen: list[Tensor] = []
    found: dict[str, Tensor] = {}

    class Look(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in {F.conv2d, F.linear}:
                seen.append(args[1] if len(args) > 1 else kwargs["weight"])
            return func(*args, **(kwargs or {}))

    layers = {name: each for name, each in module.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    first: dict[str, int] = {}  # a skip that is added in a hook of the layer has a product, too
    handles = [
        handle
        for name, each in layers.items()
        for handle in (
            each.register_forward_pre_hook(lambda *_, name=name: first.update({name: len(seen)})),
            each.register_forward_hook(lambda *_, name=name: found.update({f"{name}.weight": seen[first[name]]})),
        )
    ]
    with Look(), torch.no_grad():
        module(X)
    for handle in handles:
        handle.remove()
    return found


def trained(module: nn.Module) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        module.train()(X).square().mean().backward()
        optimizer.step()
    module.eval()


@kinds
@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_what_is_multiplied_with_keeps_the_exact_counts_at_once_and_after_training(kind, engine):
    pruned = apply(network(kind), example_inputs=X, density=0.2, engine=engine)
    assert pruned.plan.skips
    assert pruned.plan.budget.reference == 6 * 3 * 9 + 2 * 6 * 6 * 9 + 5 * 6
    for _ in range(2):
        found = used_weights(pruned.module)
        assert found.keys() == {weight.name for weight in pruned.plan.weights}
        assert all(torch.equal(weight != 0, pruned.masks[name]) for name, weight in found.items())
        assert sum(int(weight.count_nonzero()) for weight in found.values()) == pruned.plan.budget.sequential
        trained(pruned.module)


def test_the_kept_entries_are_those_of_the_layers_own_function_of_the_masked_weight():
    pruned = apply(network("centred"), example_inputs=X, density=0.3, skip="none")
    masked, mask = pruned.module[2].weight.detach(), pruned.masks["2.weight"]
    right = (masked - masked.sum((1, 2, 3), keepdim=True) / 54 + 0.25) * mask
    # Sums of 54 numbers in another order.
    torch.testing.assert_close(used_weights(pruned.module)["2.weight"], right, rtol=1e-5, atol=1e-6)


@kinds
def test_a_model_that_is_kept_whole_is_unharmed_to_the_bit_also_where_a_weight_is_zero(kind):
    model = network(kind)
    with torch.no_grad():
        model[2].weight[0, 0, 0, 0] = 0
        model[4].weight.zero_()
    whole = apply(model, example_inputs=X, density=1.0, skip="none").module
    for each in (model, whole):
        each.train()(X).square().sum().backward()
    assert torch.equal(whole(X), model(X))
    gradients = dict(model.named_parameters())
    assert all(torch.equal(value.grad, gradients[name].grad) for name, value in whole.named_parameters())


@kinds
def test_saved_copied_and_pickled_is_what_runs(kind, tmp_path):
    pruned = apply(network(kind), example_inputs=X, density=0.2)
    trained(pruned.module)
    expected = pruned.module(X)
    assert torch.equal(load(pruned.save(tmp_path / "a"), network(kind)).module.eval()(X), expected)
    assert torch.equal(copy.deepcopy(pruned.module)(X), expected)
    pickled = io.BytesIO()
    torch.save(pruned.module, pickled)
    pickled.seek(0)
    assert torch.equal(torch.load(pickled, weights_only=False)(X), expected)
    plain, masks = pruned.plain()
    assert torch.equal(plain(X), expected)
    assert all(torch.equal(plain.get_parameter(name) != 0, mask) for name, mask in masks.items())


def test_exported_and_reported_is_what_runs(tmp_path):
    pruned = apply(network("scaled-same"), example_inputs=X, density=0.2)
    exported = export_onnx(pruned, tmp_path / "net.onnx")
    assert {record.name for record in exported.weights} >= {"0.weight", "2.weight", "4.weight", "8.weight"}
    assert all(each.difference <= 1e-5 * max(1.0, each.scale) for each in exported.parity)  # float32 sums
    assert not [note for note in report(pruned).to_json()["notes"] if "computed" in note]


def test_masks_that_move_move_what_is_used_also_in_a_sparse_twin():
    pruned = apply(network("std"), example_inputs=X, density=0.5, skip="none")
    twin = sparse_training(pruned.module, layers="all")
    moved = {name: mask.flip(0) for name, mask in pruned.masks.items()}
    enforcer = next(value for value in vars(pruned.module).values() if isinstance(value, MaskEnforcer))
    enforcer.replace(moved)
    for module in (pruned.module, twin):
        assert all(bool((weight[~moved[name]] == 0).all()) for name, weight in used_weights(module).items())


def test_kept_entries_have_the_gradient_of_the_masked_function():
    pruned = apply(network("centred"), example_inputs=X, density=0.5, skip="none")
    layer, mask = pruned.module[0], pruned.masks["0.weight"]
    layer(X).square().sum().backward()
    own = layer.weight.detach().clone().requires_grad_()
    used = (own - own.mean((1, 2, 3), keepdim=True) + 0.25) * mask
    F.conv2d(X, used, layer.bias.detach()).square().sum().backward()
    # The same sums, perhaps in another order.
    torch.testing.assert_close(layer.weight.grad, own.grad * mask, rtol=1e-4, atol=1e-4)


def test_the_compiled_model_is_the_same():
    pruned = apply(network("scaled"), example_inputs=X, density=0.2)
    compiled = torch.compile(pruned.module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(X), pruned.module(X))


def test_a_weight_that_is_random_or_depends_on_the_input_or_on_other_matrices_is_not_one_of_these():
    class Random(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight * torch.rand(()))

    class Modulated(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight * x.mean())

    class Adapted(nn.Linear):
        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.other = nn.Parameter(torch.ones_like(self.weight))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight + self.other)

    class Twice(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight * 2) + F.linear(x, self.weight * 3)

    class Padded(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight)

    others = [Random(3, 3), Modulated(3, 3), Adapted(3, 3), Twice(3, 3), Padded(3, 3, 3), nn.Linear(3, 3), nn.ReLU()]
    assert not any(map(makes_its_weight, others))
    assert makes_its_weight(Rows(3, 3))
