"""The gate: skips at zero change nothing that can be seen of a model, and a rewritten copy does what the model does."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import apply
from n2nsurgery.core.errors import RunError, TraceError
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.surgery.engines.attach import attach_skips
from n2nsurgery.surgery.engines.gate import require_harmless, require_same
from n2nsurgery.surgery.engines.observation import cases_of, larger_cases, observe

X = torch.linspace(-2, 2, 12).reshape(4, 3)


def layers_of() -> nn.Sequential:
    return nn.Sequential(*(m for _ in range(5) for m in (nn.Linear(3, 3), nn.ReLU())))


def traced(model: nn.Module):
    return trace(model, (X,)).module


def test_a_faithful_copy_passes_and_both_keep_their_modes_and_state():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    model[1].eval()
    twin = traced(model)
    modes = [module.training for root in (model, twin) for module in root.modules()]
    require_same(model, twin, {"input": X})
    assert [module.training for root in (model, twin) for module in root.modules()] == modes
    assert int(model[2].num_batches_tracked) == 0


@pytest.mark.parametrize("planted", [1e-7, float("nan"), -0.5])
def test_a_planted_difference_is_found(planted):
    model = nn.Sequential(nn.Linear(3, 3))
    twin = traced(model)
    with torch.no_grad():
        twin.get_submodule("0").weight[0, 0] += planted
    with pytest.raises(TraceError, match=r"does not do what the original does .train mode, inputs .4, 3..: output 0"):
        require_same(model, twin, {"input": X + 1})


@pytest.mark.parametrize(("factor", "found"), [(1 + 1e-6, False), (1.01, True), (0.0, True)])
def test_gradients_are_equal_up_to_rounding(factor, found):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    twin = traced(model)
    twin.get_submodule("0").weight.register_hook(lambda gradient: gradient * factor)
    with pytest.raises(TraceError, match=r"gradient of 0\.weight differs") if found else nullcontext():
        require_same(model, twin, {"input": X + 1})


def test_equal_not_a_numbers_are_equal():
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt(), {"sign": x > 0}, "name"

    require_same(Root(), traced(Root()), {"x": X})


def test_an_output_of_another_structure_is_found():
    class Root(nn.Module):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as nn.Sequential calls it
            return input, input

    with pytest.raises(TraceError, match=r"copy of Root does not do what .*: output 1 is missing"):
        require_same(Root(), traced(nn.Sequential(nn.Identity())), {"input": X})


class Momentum(nn.Module):
    """Adds what it saw in the call before."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.last
        self.last = x.mean(0).detach()
        return y


def test_state_between_calls_is_found():
    model = Momentum()
    model(X)
    model(X + 1)
    twin = traced(model)
    model(X + 2)
    with pytest.raises(TraceError, match="copy of Momentum does not do what the original does"):
        require_same(model, twin, {"x": X})


@pytest.mark.parametrize("skip", [{}, {"skip_pattern": "random", "skip_ratio": 0.3, "skip_norm": "never"}])
def test_skips_at_zero_leave_the_model_to_the_bit_in_both_modes_gradients_and_larger_inputs_too(either, images, skip):
    plan = apply(either, density=0.5, example_inputs=images, engine="hooks", **skip).plan
    cases = [*cases_of({"x": images}), next(larger_cases({"x": images}))]
    without = [observe(either, case).values for case in cases]
    attach_skips(either, plan.skips, plan.engine.routes)
    for case, expected in zip(cases, without, strict=True):
        found = observe(either, case).values
        for name, value in expected.items():
            same = torch.equal(found[name], value) if isinstance(value, Tensor) else found[name] == value
            assert same, (str(case), name)
    assert [str(case) for case in cases][::4] == [
        f"train mode, inputs {tuple(images.shape)}",
        f"eval mode, inputs {(images.shape[0] // 2, 3, *(size * 3 // 2 for size in images.shape[2:]))}",
    ]


class Moody(nn.Module):
    """Leaves a layer out in eval mode of small batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers_of()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.tolist() if type(x) is Tensor else [None] * 4
        return self.layers[4:](x) if len(rows) < 4 else self.layers(x)


def test_a_forward_that_takes_another_path_than_the_traced_one_is_refused_with_the_skip():
    with pytest.raises(TraceError, match=r"with skips Moody fails where it did not without .*n2n_skips.0"):
        apply(Moody(), density=0.9, example_inputs=X)
    assert apply(Moody(), density=0.9, example_inputs=X, skip="none").plan.engine.engine == "hooks"


def test_too_little_memory_is_not_a_fault_of_the_model(monkeypatch):
    calls = []

    def scarce(module, case, settles=None):
        calls.append(module)
        if len(calls) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return observe(module, case, settles)

    monkeypatch.setattr("n2nsurgery.surgery.engines.gate.observe", scarce)
    with pytest.raises(RunError, match=r"too little memory to compare Sequential with and without skips .train mode"):
        apply(layers_of(), density=0.9, example_inputs=X)


def test_a_case_that_the_model_alone_has_no_memory_for_is_told(monkeypatch, caplog):
    def scarce(_module, _case, _settles=None):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr("n2nsurgery.surgery.engines.gate.observe", scarce)
    apply(layers_of(), density=0.9, example_inputs=X)
    assert "not compared: Sequential fails in train mode" in caplog.text


def test_both_sides_share_the_memory_of_their_weights_and_gradients_are_let_go_one_by_one(monkeypatch):
    model = layers_of()
    model[0].weight.grad = torch.ones(3, 3)
    plan = apply(model, density=0.9, example_inputs=X).plan
    seen = []

    def watched(module, case, settles=None):
        found = observe(module, case, settles)
        seen.append((module, found))
        return found

    monkeypatch.setattr("n2nsurgery.surgery.engines.gate.observe", watched)
    require_harmless(model, plan, {"input": X})
    twins = [(module, found) for module, found in seen if module is not model]
    assert len(twins) == 3
    for twin, found in twins:
        assert twin[0].weight.data_ptr() == model[0].weight.data_ptr()
        assert found.settled >= {f"gradient of {name}" for name, _ in model.named_parameters()}
        assert not found.gradients
        assert all(parameter.grad is None for parameter in twin.parameters())
    assert torch.equal(model[0].weight.grad, torch.ones(3, 3))


@pytest.mark.parametrize(("factor", "found"), [(1 + 1e-6, False), (1.01, True), (0.0, True)])
def test_a_gradient_that_a_skip_changes_is_found(monkeypatch, factor, found):
    def planted(module, skips, routes):
        insertions = attach_skips(module, skips, routes)
        module[2].weight.register_hook(lambda gradient: gradient * factor)
        return insertions

    monkeypatch.setattr("n2nsurgery.surgery.engines.gate.attach_skips", planted)
    model = layers_of()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.3)  # no unit is dead
    with pytest.raises(TraceError, match=r"gradient of 2\.weight differs") if found else nullcontext():
        apply(model, density=0.9, example_inputs=X + 2.5)


def test_larger_inputs_are_compared_without_gradients_where_those_have_no_memory(monkeypatch, caplog):
    compared = []

    def scarce(module, case, settles=None):
        larger = next(iter(case.inputs.values())).shape[1:] != images.shape[1:]
        if larger and case.gradients and settles is not None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        compared.append((larger, case.gradients))
        return observe(module, case, settles)

    monkeypatch.setattr("n2nsurgery.surgery.engines.gate.observe", scarce)
    images = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    convs = nn.Sequential(*(m for _ in range(5) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())))
    apply(convs, density=0.9, example_inputs=images)
    assert compared[-3:] == [(True, True), (True, False), (True, False)]
    assert "too little memory to compare gradients: eval mode" in caplog.text


class Restless(nn.Module):
    """Adds the number of its calls."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers_of()

    def forward(self, x: Tensor) -> Tensor:
        Restless.calls += 1
        return self.layers(x) + Restless.calls


def test_a_model_that_never_does_the_same_twice_keeps_its_forward():
    pruned = apply(Restless(), density=0.9, example_inputs=X)
    assert type(pruned.module) is Restless
    assert pruned.plan.skips


def test_a_rewritten_copy_refuses_inputs_of_another_size(plain, images):
    module = apply(plain, density=0.5, example_inputs=images, engine="rewrite").module.eval()
    larger = torch.cat([images, images], dim=3)
    assert module(torch.cat([images, images])).shape == (2 * len(images), 4)
    with pytest.raises(RunError, match=r"input 'x' has size 3x8x16 .* made for 3x8x8: .* engine 'hooks'"):
        module(larger)
    hooked = apply(plain, density=0.5, example_inputs=images, engine="hooks").module.eval()
    assert hooked(larger).shape == (len(images), 4)


def test_a_rewrite_is_refused_where_train_mode_has_no_gradients():
    class Flipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.set_grad_enabled(not self.training):
                return self.layer(x)

    with pytest.raises(TraceError, match=r"copy of Flipped does not do .*train mode.* gradient of layer"):
        apply(Flipped(), density=0.9, example_inputs=X, engine="rewrite")
