from __future__ import annotations

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UnknownNameError, UsageError, VerificationError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.masks.attachment import apply_masks, enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.loop.step import optimizer_step
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.schedules import Span
from n2nsurgery.training.state.saved_state import Position

CPU = torch.device("cpu")
CASES = {
    "momentum": {"optimizer": {"momentum": 0.9, "nesterov": False}},
    "Nesterov": {"optimizer": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}},
    "without momentum": {"optimizer": {"momentum": 0.0, "nesterov": False, "weight_decay": 0.1}},
    "Adam": {"optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 0.1}},
    "AdamW": {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "spare_norms": True}},
    "clipping": {"clip_norm": 0.01},
    "average": {"ema_decay": 0.9},
    "accumulation": {"accumulate": 2},
    "bf16": {"amp": "bf16", "ema_decay": 0.9, "clip_norm": 1.0},
    "fp16": {"amp": "fp16", "clip_norm": 1.0},
    "channels last": {"channels_last": True, "clip_norm": 1.0},
}


def session_of(model, config, masks) -> TrainState:
    return TrainState(
        model,
        config,
        components_of(config),
        SingleProcess(device=CPU),
        masks,
        Span(steps_per_epoch=10, epochs=config.epochs),
    )


def steps(train_state: TrainState, batches, count: int = 4):
    """Take steps, and yield after each."""
    for step, pair in zip(range(count), batches.epoch(0), strict=False):
        group = [pair] * train_state.config.accumulate
        optimizer_step(train_state, group, position=Position(batch=step, step=step))
        yield step


@pytest.mark.parametrize("case", CASES)
def test_pruned_entries_are_exactly_zero_after_every_step(case, convnet, blobs, masks_of, config):
    model = convnet()
    masks = masks_of(model)
    train_state = session_of(model, config(**CASES[case]), masks)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in steps(train_state, blobs(shape=(2, 4, 4))):
        for name, mask in masks.items():
            parameter = model.get_parameter(name)
            states = [s for s in train_state.optimizer.state[parameter].values() if s.shape == parameter.shape]
            averaged = [train_state.average.values[name]] if train_state.average is not None else []
            for tensor in (parameter.detach(), *states, *averaged):
                assert not tensor[~mask].any()
                assert tensor[mask].any()
    assert not any(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_infinite_and_undefined_gradients_of_pruned_weights_are_zeroed():
    model = nn.Linear(4, 1, bias=False)
    mask = torch.tensor([[True, True, False, False]])
    masked = MaskEnforcer(model, {"weight": mask}, hooks=False)
    model.weight.grad = torch.tensor([[1.0, torch.inf, torch.inf, torch.nan]])
    masked.mask_gradients()
    assert torch.equal(model.weight.grad, torch.tensor([[1.0, torch.inf, 0.0, 0.0]]))
    assert not torch.signbit(model.weight.grad).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kept_values_come_through_to_the_bit_in_every_precision(dtype):
    model = nn.Linear(5, 3, bias=False).to(dtype)
    mask = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = torch.where(mask, model.weight.detach(), 0)
    MaskEnforcer(model, {"weight": mask}, hooks=False).apply()
    assert torch.equal(model.weight, expected)


def test_the_norm_that_is_clipped_is_that_of_the_kept_weights(mlp, blobs, masks_of, config):
    masks = masks_of(mlp())
    sparse, dense = mlp(), mlp()
    clipped = session_of(sparse, config(clip_norm=0.01, optimizer={"momentum": 0.0, "nesterov": False}), masks)
    list(steps(clipped, blobs(), count=1))
    with torch.no_grad():
        for name, mask in masks.items():
            dense.get_parameter(name).mul_(mask)
    inputs, targets = next(blobs().epoch(0))
    nn.functional.cross_entropy(dense(inputs), targets).backward()
    for name, mask in masks.items():
        dense.get_parameter(name).grad.mul_(mask)
    nn.utils.clip_grad_norm_(dense.parameters(), 0.01)
    torch.optim.SGD(dense.parameters(), lr=0.1, weight_decay=5e-4).step()
    for name, parameter in sparse.named_parameters():
        # The fused optimizer may contract a multiplication and an addition: one rounding of a float32.
        torch.testing.assert_close(parameter, dense.get_parameter(name), rtol=1e-6, atol=1e-7)


def test_momentum_from_before_the_masks_is_cleared(mlp, blobs, masks_of, config):
    model = mlp()
    train_state = session_of(model, config(), masks_of(model))
    for parameter in model.parameters():
        train_state.optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
    train_state.masked.clear(train_state.optimizer)
    list(steps(train_state, blobs()))
    train_state.require_sound(4)


def test_momentum_that_is_not_masked_is_found(mlp, blobs, masks_of, config):
    model = mlp()
    train_state = session_of(model, config(), masks_of(model))
    parameter = model.get_parameter("3.weight")
    train_state.optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
    list(steps(train_state, blobs()))
    with pytest.raises(VerificationError, match=r"pruned entries of '3.weight' are no longer zero in the weights"):
        train_state.require_sound(4)


def test_gradients_that_are_not_masked_are_found(mlp, blobs, masks_of, config, monkeypatch, tmp_path):
    monkeypatch.setattr(MaskEnforcer, "mask_gradients", lambda _: None)
    model = mlp()
    with pytest.raises(VerificationError, match="are no longer zero in the weights"):
        run_training(model, TrainData(train=blobs()), config(), folder=tmp_path, masks=masks_of(model))
    assert not list(tmp_path.rglob("manifest.json"))


def test_an_average_with_pruned_entries_is_found(mlp, masks_of, config):
    model = mlp()
    train_state = session_of(model, config(ema_decay=0.9), masks_of(model))
    train_state.average.values["0.weight"] += 1
    with pytest.raises(VerificationError, match=r"'0.weight' are no longer zero in the averaged weights"):
        train_state.require_sound(0)


def test_the_hooks_of_a_pruned_network_are_suspended_while_the_loop_masks(mlp, blobs, masks_of, config, tmp_path):
    model, reference = mlp(), mlp()
    apply_masks(model, MaskSet(masks_of(model)))
    enforcer = enforcer_of(model)
    hooked = []
    run_training(
        model,
        TrainData(train=blobs()),
        config(clip_norm=1.0),
        folder=tmp_path / "kept",
        callbacks=Callbacks(on_step=lambda _: hooked.append(bool(enforcer._handles))),
    )
    assert set(hooked) == {False}
    run_training(
        reference, TrainData(train=blobs()), config(clip_norm=1.0), folder=tmp_path / "own", masks=masks_of(reference)
    )
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, reference.get_parameter(name))
    longer = config(clip_norm=1.0, epochs=3)
    run_training(model, TrainData(train=blobs()), longer, folder=tmp_path / "kept", resume=True)
    model.zero_grad()
    model(next(blobs().epoch(0))[0]).sum().backward()  # and afterwards it is at work again
    for name, mask in enforcer.masks.items():
        assert not model.get_parameter(name).grad[~mask].any()


def test_masks_that_do_not_fit_are_refused(mlp):
    model = mlp()
    with pytest.raises(UnknownNameError, match=r"unknown masked parameter '0.wieght'; did you mean '0.weight'"):
        MaskEnforcer(model, {"0.wieght": torch.ones(16, 8, dtype=torch.bool)}, hooks=False)
    with pytest.raises(UsageError, match=r"'0.weight' is torch.bool of shape \(8, 16\); torch.bool of shape \(16, 8\)"):
        MaskEnforcer(model, {"0.weight": torch.ones(8, 16, dtype=torch.bool)}, hooks=False)
    with pytest.raises(UsageError, match=r"'0.weight' is torch.float32"):
        MaskEnforcer(model, {"0.weight": torch.ones(16, 8)}, hooks=False)
