"""Pruned weights are exactly zero, whatever trains the network; no tolerance stands anywhere here."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Muon, Optimizer, RMSprop
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from n2nsurgery import MaskSet, PrunedModel, apply
from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.attachment import apply_masks, attach, enforcer_of

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: RMSprop(p, lr=0.01, momentum=0.9, centered=True),
}
every_optimizer = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)


def loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(module(images), labels)


def train(module: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(module, images, labels).backward()
        optimizer.step()


def revived(module: nn.Module, masks: MaskSet) -> list[str]:
    """Masked parameters with a weight outside the mask that is not zero."""
    named = dict(module.named_parameters())
    return [name for name, mask in masks.items() if named[name].detach().cpu().masked_fill(mask, 0).any()]


def moved(module: nn.Module, before: dict[str, Tensor], masks: MaskSet) -> bool:
    """Whether every masked parameter has changed within its mask: a test that trains nothing proves nothing."""
    return all(not torch.equal(module.get_parameter(name), before[name]) for name in masks)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@every_optimizer
def test_pruned_weights_stay_zero_under(build, pruned, images, labels):
    before = snapshot(pruned.module)
    train(pruned.module, build(pruned.module.parameters()), images, labels)
    assert moved(pruned.module, before, pruned.masks)
    assert revived(pruned.module, pruned.masks) == []


@pytest.mark.parametrize("foreach", [False, True])
def test_a_gradient_is_zero_where_the_weight_is_pruned(foreach, pruned, images, labels):
    loss(pruned.module, images, labels).backward()
    total = clip_grad_norm_(pruned.module.parameters(), 1e9, foreach=foreach)
    counted = torch.zeros((), dtype=torch.float64)
    for name, parameter in pruned.module.named_parameters():
        gradient = parameter.grad.double()
        mask = pruned.masks.get(name, torch.ones_like(parameter, dtype=torch.bool))
        assert not gradient[~mask].any(), name
        counted += gradient[mask].square().sum()
    # The norm is that of the kept weights alone, up to some twenty single-precision sums of squares.
    assert total.item() == pytest.approx(counted.sqrt().item(), rel=1e-5)


def test_pruned_weights_stay_zero_under_autocast_and_a_gradient_scaler(pruned, images, labels):
    optimizer = SGD(pruned.module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    before = snapshot(pruned.module)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(pruned.module, images, labels)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(pruned.module.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
    assert moved(pruned.module, before, pruned.masks)
    assert revived(pruned.module, pruned.masks) == []


def test_pruned_weights_stay_zero_under_gradient_accumulation(pruned, images, labels):
    optimizer = SGD(pruned.module.parameters(), lr=0.05, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        for part in range(4):
            (loss(pruned.module, images[[part, 0]], labels[[part, 0]]) / 4).backward()
        optimizer.step()
    assert revived(pruned.module, pruned.masks) == []


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.9)], ids=["mean", "ema"])
def test_an_average_of_the_weights_keeps_the_masks(average, pruned, images, labels):
    averaged = AveragedModel(pruned.module, multi_avg_fn=average, use_buffers=True)
    optimizer = SGD(pruned.module.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        train(pruned.module, optimizer, images, labels, steps=1)
        averaged.update_parameters(pruned.module)
    assert revived(averaged.module, pruned.masks) == []
    # The average may be trained in turn.
    train(averaged.module, SGD(averaged.module.parameters(), lr=0.05), images, labels)
    assert revived(averaged.module, pruned.masks) == []


def test_a_copy_keeps_its_own_masks_when_it_is_trained(pruned, images, labels):
    twin = copy.deepcopy(pruned.module)
    before = snapshot(pruned.module)
    train(twin, SGD(twin.parameters(), lr=0.05, momentum=0.9), images, labels)
    assert moved(twin, before, pruned.masks)
    assert revived(twin, pruned.masks) == []
    assert all(torch.equal(value, before[name]) for name, value in pruned.module.named_parameters())
    assert set(map(id, twin.parameters())).isdisjoint(map(id, pruned.module.parameters()))


def test_masks_that_replace_others_are_the_only_ones(pruned, images, labels):
    module = pruned.module
    turned = MaskSet({name: mask.flip(0) for name, mask in pruned.masks.items()})
    apply_masks(module, turned)
    train(module, SGD(module.parameters(), lr=0.1), images, labels)
    assert revived(module, turned) == []
    fresh = [name for name, mask in turned.items() if module.get_parameter(name)[mask & ~pruned.masks[name]].any()]
    assert fresh  # entries that only the second masks keep have taken values


def test_enforcement_goes_on_with_masks_that_replace_others(pruned, images, labels):
    module = pruned.module
    optimizer = SGD(module.parameters(), lr=0.1, momentum=0.9)
    attach(module, optimizer)
    train(module, optimizer, images, labels)
    turned = MaskSet({name: mask.flip(0) for name, mask in pruned.masks.items()})
    apply_masks(module, turned)
    train(module, optimizer, images, labels)  # whose momentum is of entries that are pruned now
    assert revived(module, turned) == []


def test_a_copy_of_a_copy_within_another_module_keeps_the_masks(pruned, images, labels):
    nested = copy.deepcopy(copy.deepcopy(nn.ModuleDict({"student": pruned.module})))["student"]
    train(nested, Adam(nested.parameters()), images, labels)
    assert revived(nested, pruned.masks) == []


def test_dense_weights_are_pruned_when_they_are_loaded(pruned, images, labels):
    dense = {name: torch.ones_like(tensor) for name, tensor in pruned.module.state_dict().items()}
    outside, total = (
        sum(int((~mask).sum()) for mask in pruned.masks.values()),
        sum(map(torch.numel, pruned.masks.values())),
    )
    with pytest.warns(UserWarning, match=f"{outside:,} of {total:,} loaded weights lie outside .* are set to zero"):
        pruned.module.load_state_dict(dense)
    assert revived(pruned.module, pruned.masks) == []
    assert all(pruned.module.get_parameter(name)[mask].eq(1).all() for name, mask in pruned.masks.items())
    train(pruned.module, SGD(pruned.module.parameters(), lr=0.05), images, labels)
    assert revived(pruned.module, pruned.masks) == []


def test_assigned_parameters_are_kept_too(pruned, images, labels):
    before = dict(pruned.module.named_parameters())
    dense = {name: torch.ones_like(tensor) for name, tensor in pruned.module.state_dict().items()}
    with pytest.warns(UserWarning, match="lie outside the masks"):
        pruned.module.load_state_dict(dense, assign=True)
    assert all(parameter is not before[name] for name, parameter in pruned.module.named_parameters())
    train(pruned.module, SGD(pruned.module.parameters(), lr=0.05, momentum=0.9), images, labels)
    assert revived(pruned.module, pruned.masks) == []


def test_loading_through_a_wrapper_keeps_the_masks(pruned, images, labels):
    wrapper = nn.ModuleDict({"student": pruned.module})
    dense = {name: torch.ones_like(tensor) for name, tensor in wrapper.state_dict().items()}
    with pytest.warns(UserWarning, match="lie outside the masks"):
        wrapper.load_state_dict(dense, assign=True)
    train(pruned.module, Adam(pruned.module.parameters()), images, labels)
    assert revived(pruned.module, pruned.masks) == []


def test_a_change_of_dtype_keeps_the_masks(pruned, images, labels):
    module = pruned.module.to(torch.float64)
    train(module, AdamW(module.parameters()), images.double(), labels)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
    assert revived(module, pruned.masks) == []


@pytest.mark.gpu
def test_a_change_of_device_keeps_the_masks(pruned, images, labels):
    module = pruned.module.cuda()
    train(module, AdamW(module.parameters()), images.cuda(), labels.cuda())
    assert revived(module, pruned.masks) == []
    assert revived(copy.deepcopy(module).cpu(), pruned.masks) == []


def test_a_layer_that_was_frozen_during_surgery_keeps_its_mask_when_it_is_thawed(plain, images, labels):
    for parameter in plain.parameters():
        parameter.requires_grad_(False)
    pruned = apply(plain, density=0.3, example_inputs=images)
    assert not pruned.module.get_parameter("conv1.weight").requires_grad
    for parameter in pruned.module.parameters():
        parameter.requires_grad_(True)
    train(pruned.module, SGD(pruned.module.parameters(), lr=0.05, momentum=0.9), images, labels)
    assert revived(pruned.module, pruned.masks) == []


def test_freezing_and_thawing_keeps_the_masks(pruned, images, labels):
    pruned.module.requires_grad_(False)
    pruned.module.requires_grad_(True)
    train(pruned.module, SGD(pruned.module.parameters(), lr=0.05), images, labels)
    assert revived(pruned.module, pruned.masks) == []


def test_an_infinite_gradient_gives_no_nan_in_pruned_weights(pruned, images, labels):
    optimizer = SGD(pruned.module.parameters(), lr=0.05, momentum=0.9)
    optimizer.zero_grad()
    (loss(pruned.module, images, labels) * torch.inf).backward()
    zeroed = [pruned.module.get_parameter(name).grad[~mask] for name, mask in pruned.masks.items()]
    assert not any(gradient.any() for gradient in zeroed)  # NaN counts as any
    optimizer.step()
    assert revived(pruned.module, pruned.masks) == []


def test_torch_compile_keeps_the_masks(pruned, images, labels):
    before = snapshot(pruned.module)
    compiled = torch.compile(pruned.module, backend="aot_eager")
    train(compiled, SGD(pruned.module.parameters(), lr=0.05, momentum=0.9), images, labels)
    assert moved(pruned.module, before, pruned.masks)
    assert revived(pruned.module, pruned.masks) == []


@pytest.fixture
def one_rank():
    """A process group of this process alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_distributed_training_keeps_the_masks(pruned, images, labels):
    wrapped = DistributedDataParallel(pruned.module)
    optimizer = SGD(wrapped.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    before = snapshot(pruned.module)
    with wrapped.no_sync():
        loss(wrapped, images, labels).backward()
    train(wrapped, optimizer, images, labels)
    assert moved(pruned.module, before, pruned.masks)
    assert revived(pruned.module, pruned.masks) == []


def stale(module: nn.Module, images: Tensor, labels: Tensor) -> Optimizer:
    """An optimizer that has momentum from a time when the module was dense."""
    optimizer = SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    train(module, optimizer, images, labels)
    return optimizer


@pytest.fixture
def masked(plain, images, labels) -> tuple[nn.Module, MaskSet, Optimizer]:
    """A module that was masked in the middle of its training, and its optimizer."""
    optimizer = stale(plain, images, labels)
    generator = torch.Generator().manual_seed(2)
    weights = {name: value for name, value in plain.named_parameters() if value.dim() > 1}
    masks = MaskSet({name: torch.rand(value.shape, generator=generator) < 0.3 for name, value in weights.items()})
    apply_masks(plain, masks)
    return plain, masks, optimizer


def test_momentum_from_before_revives_weights_unless_it_is_enforced(masked, images, labels):
    module, masks, optimizer = masked
    assert revived(module, masks) == []
    train(module, optimizer, images, labels)
    assert revived(module, masks) == list(masks)


def test_enforce_keeps_weights_and_momentum_at_zero(masked, images, labels):
    module, masks, optimizer = masked
    attach(module, optimizer)
    train(module, optimizer, images, labels, steps=1)
    assert revived(module, masks) == []
    for name, mask in masks.items():
        momentum = optimizer.state[module.get_parameter(name)]["momentum_buffer"]
        assert not momentum[~mask].any()
        assert momentum[mask].any()


def test_the_handle_undoes_enforcement(masked, images, labels):
    module, masks, optimizer = masked
    attach(module, optimizer).remove()
    train(module, optimizer, images, labels)
    assert revived(module, masks) == list(masks)


def test_enforce_serves_optimizers_that_move_zeros_on_their_own(pruned, images, labels):
    class Drifting(SGD):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                for group in self.param_groups:
                    torch._foreach_add_(group["params"], 0.01)

    optimizer = Drifting(pruned.module.parameters(), lr=0.05)
    pruned.enforce(optimizer)
    train(pruned.module, optimizer, images, labels)
    assert revived(pruned.module, pruned.masks) == []


@pytest.mark.parametrize(
    "wrap",
    [
        lambda module: torch.compile(module, backend="eager"),
        lambda module: nn.ModuleDict({"module": module}),
        lambda module: nn.ModuleDict({"module": torch.compile(module, backend="eager")}),
    ],
    ids=["compiled", "distributed", "both"],
)
def test_enforce_finds_the_module_within_its_wrappers(wrap, masked, images, labels):
    module, masks, optimizer = masked
    attach(wrap(module), optimizer)
    train(module, optimizer, images, labels)
    assert revived(module, masks) == []


def test_a_module_without_masks_cannot_be_enforced(plain):
    with pytest.raises(UsageError, match="Plain was not pruned: it has no masks to enforce"):
        attach(plain, SGD(plain.parameters(), lr=0.1))
    assert enforcer_of(plain) is None


def test_an_optimizer_of_the_original_is_refused(plain, pruned):
    with pytest.raises(UsageError, match=r"SGD has none of the pruned module's parameters, .*pruning returns a copy"):
        pruned.enforce(SGD(plain.parameters(), lr=0.1))


def test_parameters_that_no_optimizer_has_are_named_in_a_warning(pruned):
    head = SGD(pruned.module.head.parameters(), lr=0.1)
    rest = SGD([p for name, p in pruned.module.named_parameters() if not name.startswith("head.")], lr=0.1)
    trainable = sum(1 for _ in pruned.module.parameters())
    expected = rf"{trainable - 2} of the pruned module's {trainable} trainable parameters .*'conv0\.weight', 'norm0\."
    with pytest.warns(UserWarning, match=expected):
        pruned.enforce(head)
    pruned.enforce(head, rest)  # a warning would be an error


def test_frozen_parameters_may_be_missing(pruned):
    for name, parameter in pruned.module.named_parameters():
        parameter.requires_grad_(name.startswith("head."))
    pruned.enforce(SGD(pruned.module.head.parameters(), lr=0.1))
    assert not pruned.module.get_parameter("conv0.weight").requires_grad


@pytest.fixture
def sparse_head(plain) -> tuple[nn.Module, MaskSet]:
    """The plain network with a sparse head: a matrix, as Muon wants it."""
    masks = MaskSet({"head.weight": torch.rand(4, 8, generator=torch.Generator().manual_seed(2)) < 0.3})
    apply_masks(plain, masks)
    return plain, masks


def test_the_first_step_that_moves_pruned_weights_is_warned_of(sparse_head, images, labels):
    module, masks = sparse_head
    optimizer = Muon([module.head.weight], lr=0.1)
    with pytest.warns(UserWarning, match=r"first step of Muon has moved \d+ pruned weights \(in 'head\.weight'\)"):
        train(module, optimizer, images, labels, steps=1)
    train(module, optimizer, images, labels, steps=2)  # once is enough
    assert revived(module, masks) == ["head.weight"]


def test_an_optimizer_that_mixes_entries_is_kept_in_check_without_a_warning(sparse_head, images, labels):
    module, masks = sparse_head
    optimizer = Muon([module.head.weight], lr=0.1)
    attach(module, optimizer, SGD([p for name, p in module.named_parameters() if name != "head.weight"], lr=0.1))
    train(module, optimizer, images, labels)
    assert revived(module, masks) == []


def test_weights_that_moved_are_set_to_zero_again_on_demand(pruned):
    weight = pruned.module.get_parameter("conv1.weight")
    weight.data.add_(1)
    pruned.apply_masks()
    assert torch.equal(weight != 0, pruned.masks["conv1.weight"])


def test_masks_follow_parameters_that_are_replaced_under_an_enforced_optimizer(pruned, images, labels):
    optimizer = SGD(pruned.module.parameters(), lr=0.1)
    pruned.enforce(optimizer)
    pruned.module.conv1.weight = nn.Parameter(torch.ones_like(pruned.module.conv1.weight))
    train(pruned.module, optimizer, images, labels, steps=1)
    assert revived(pruned.module, pruned.masks) == []


def test_a_second_derivative_is_masked_too(pruned, images, labels):
    weight, mask = pruned.module.get_parameter("conv1.weight"), pruned.masks["conv1.weight"]
    (gradient,) = torch.autograd.grad(loss(pruned.module, images, labels), weight, create_graph=True)
    assert not gradient[~mask].any()
    (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert not second[~mask].any()
    assert second[mask].any()


def test_masks_hold_after_pickling(plain, images, labels):
    apply_masks(plain, MaskSet({"conv1.weight": torch.rand(8, 8, 3, 3) < 0.5}))
    again = pickle.loads(pickle.dumps(plain))  # noqa: S301 - what was pickled one line ago
    masks = enforcer_of(again).masks
    train(again, SGD(again.parameters(), lr=0.1), images, labels)
    assert masks == enforcer_of(plain).masks
    assert revived(again, masks) == []


def test_state_dict_has_the_originals_names_and_those_of_the_skips(plain, pruned):
    skips = ["n2n_skips.0.weight", "n2n_skips.1.weight"]
    assert list(pruned.module.state_dict()) == [*plain.state_dict(), *skips]


def test_an_optimizers_state_fits_the_original(pruned, plain, images, labels):
    # What is saved of training is as it would be without masks: no hook, mask or buffer is part of it.
    optimizer = AdamW(pruned.module.parameters())
    train(pruned.module, optimizer, images, labels)
    state = optimizer.state_dict()["state"]
    assert {key for entry in state.values() for key in entry} == {"step", "exp_avg", "exp_avg_sq"}
    plain.load_state_dict({name: pruned.module.state_dict()[name] for name in plain.state_dict()})


def test_masks_and_operated_agree(pruned: PrunedModel):
    assert enforcer_of(pruned.module).masks is pruned.masks


def test_a_resting_keeper_leaves_gradients_alone_and_is_back_afterwards(pruned, images, labels):
    enforcer, (name, mask) = enforcer_of(pruned.module), next(iter(pruned.masks.items()))
    with enforcer.suspended():
        pruned.module.load_state_dict(pruned.module.state_dict())  # which makes a mask enforcer guard anew
        loss(pruned.module, images, labels).backward()
        assert pruned.module.get_parameter(name).grad[~mask].any()
        pruned.module.get_parameter(name).data.add_(1)
    assert revived(pruned.module, pruned.masks) == []
    pruned.module.zero_grad()
    loss(pruned.module, images, labels).backward()
    assert not pruned.module.get_parameter(name).grad[~mask].any()
