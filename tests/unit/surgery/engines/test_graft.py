from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery import PrunedModel, apply
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.surgery.engines.graft import graft

RANDOM = {"skip_ratio": 0.4, "skip_pattern": "random", "skip_kernel": "target"}


class Convolutions(nn.Module):
    """Five convolutions with ReLU in between and nothing else: the network of Eq. 2."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c_in, 6, 3, padding=1) for c_in in (3, 6, 6, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x


def silence(pruned: PrunedModel) -> nn.Module:
    """The pruned module with every skip weight at zero."""
    with torch.no_grad():
        for name, parameter in pruned.module.named_parameters():
            if name.startswith("n2n_skips.") and name.endswith(".weight") and ".norm." not in name:
                parameter.zero_()
    return pruned.module


def computed(module: nn.Module, images: Tensor) -> Tensor:
    """The output, with the dropout of this call seeded and the running statistics left as they are."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        return copy.deepcopy(module)(images)


def test_equation_2_is_a_block_of_three_convolutions_with_a_gated_branch_beside_it(images):
    pruned = apply(Convolutions(), engine="rewrite", density=0.5, example_inputs=images, **RANDOM)
    module = pruned.module
    convs, skips = module.convs, module.n2n_skips
    a = torch.relu(convs[0](images))
    b = torch.relu(convs[1](a))
    c = torch.relu(convs[2](b))
    d = torch.relu(convs[3](c) + torch.relu(F.conv2d(a, skips["0"].weight, padding=1)))
    e = torch.relu(convs[4](d) + torch.relu(F.conv2d(b, skips["1"].weight, padding=1)))
    assert torch.equal(module(images), e)
    assert skips["0"].weight.count_nonzero() == pruned.plan.skips[0].kept > 0


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_one_to_one_skip_is_pooled_and_added_after_the_targets_norm(plain, images, training):
    pruned = apply(plain, engine="rewrite", density=0.3, example_inputs=images)
    module = pruned.module.train(training)
    reference = copy.deepcopy(module)

    def block(index: int, x: Tensor) -> Tensor:
        return reference.get_submodule(f"norm{index}")(reference.get_submodule(f"conv{index}")(x))

    def branch(index: str, x: Tensor) -> Tensor:
        return torch.relu(F.conv2d(F.avg_pool2d(x, 2), reference.n2n_skips[index].weight))

    a0 = torch.relu(block(0, images))
    a1 = torch.relu(block(1, a0))
    a2 = torch.relu(block(2, a1))
    a3 = torch.relu(block(3, a2) + branch("0", a0))
    a4 = torch.relu(block(4, a3) + branch("1", a1))
    assert torch.equal(module(images), reference.head(a4.mean((2, 3))))


def test_a_residual_skip_adds_the_activation_itself(images):
    pruned = apply(Convolutions(), engine="rewrite", density=0.5, example_inputs=images, skip="residual")
    convs = pruned.module.convs
    a = torch.relu(convs[0](images))
    b = torch.relu(convs[1](a))
    d = torch.relu(convs[3](torch.relu(convs[2](b))) + a)
    assert torch.equal(pruned.module(images), torch.relu(convs[4](d) + b))
    assert not list(pruned.module.n2n_skips.parameters())


def test_several_skips_at_one_target_add_up(images):
    pruned = apply(Convolutions(), engine="rewrite", density=0.5, example_inputs=images, pairs="all")
    convs, skips = pruned.module.convs, pruned.module.n2n_skips
    at = {(skip.pair.source, skip.pair.target): skip.name.rpartition(".")[2] for skip in pruned.plan.skips}
    values: dict[str, Tensor] = {}
    x = images
    for index, conv in enumerate(convs):
        x = conv(x)
        for source in range(index - 1):
            weight = skips[at[f"convs.{source}", f"convs.{index}"]].weight
            x = x + torch.relu(F.conv2d(values[source], weight))
        x = values[index] = torch.relu(x)
    assert len(at) == 6
    # The branches of one target may be summed in another order than here: four terms of single precision.
    torch.testing.assert_close(pruned.module(images), x, rtol=1e-6, atol=1e-6)


OPTIONS = {
    "one-to-one": {"density": 0.5},
    "with a remainder": {"density": 0.5, "skip_ratio": 0.4},
    "random": {"density": 0.5, **RANDOM},
    "random with norm": {"density": 0.5, **RANDOM, "skip_norm": "always"},
    "every pair": {"density": 0.9, "pairs": "all", "include_classifier": True},
    "beside shortcuts": {"density": 0.5, "skip_placement": "all"},
    "max pooling": {"density": 0.5, "pooling": "max"},
}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_skips_whose_weights_are_zero_leave_the_output_bit_identical(either, images, options, training):
    pruned = apply(either, engine="rewrite", example_inputs=images, **options)
    assert pruned.plan.skips
    reference = copy.deepcopy(either)
    state = pruned.module.state_dict()
    reference.load_state_dict({name: state[name] for name in reference.state_dict()})
    assert not torch.equal(computed(pruned.module.train(training), images), computed(reference.train(training), images))
    silent = silence(pruned).train(training)
    assert torch.equal(computed(silent, images), computed(reference.train(training), images))


class TwoFaced(nn.Module):
    """An auxiliary head that exists in training alone, and dropout: two graphs over the same modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12, 12) for _ in range(5))
        self.dropout = nn.Dropout(0.5)
        self.auxiliary = nn.Linear(12, 3)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x.flatten(1)[:, :12]
        for layer in self.layers:
            x = torch.relu(layer(x))
        out = self.head(self.dropout(x))
        return (out, self.auxiliary(x)) if self.training else out


def test_a_network_with_two_graphs_has_its_skips_in_both(images):
    pruned = apply(TwoFaced(), engine="rewrite", density=0.5, example_inputs=images)
    assert len(pruned.module.n2n_graphs) == 2
    assert pruned.plan.skips
    with_skips = computed(pruned.module.eval(), images)
    (in_training, auxiliary) = computed(pruned.module.train(), images)
    module = silence(pruned)
    assert not torch.equal(computed(module.eval(), images), with_skips)
    (silent, silent_auxiliary) = computed(module.train(), images)
    assert not torch.equal(silent, in_training)
    assert not torch.equal(silent_auxiliary, auxiliary)


def test_the_original_is_left_as_it_was(plain, images):
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    expected = computed(plain, images)
    apply(plain, engine="rewrite", density=0.2, example_inputs=images)
    assert list(plain.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain.state_dict().items())
    assert torch.equal(computed(plain, images), expected)
    assert plain.training


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_copy_computes_the_same_in_either_mode(pruned, images, training):
    twin = copy.deepcopy(pruned.module)
    assert torch.equal(computed(twin.train(training), images), computed(pruned.module.train(training), images))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_skips_have_the_dtype_of_the_network(plain, images, dtype):
    pruned = apply(plain.to(dtype), engine="rewrite", density=0.3, example_inputs=images.to(dtype))
    assert {parameter.dtype for parameter in pruned.module.parameters()} == {dtype}
    assert pruned.module(images.to(dtype)).dtype == dtype


def test_skips_have_the_dtype_of_their_own_target(images):
    model = Convolutions()
    pruned = apply(model, engine="rewrite", density=0.5, example_inputs=images)
    trace_ = trace(model, (images,))
    trace_.module.convs[4].to(torch.float64)
    graft(trace_.module, pruned.plan.skips)
    assert [trace_.module.n2n_skips[name].weight.dtype for name in "01"] == [torch.float32, torch.float64]


@pytest.mark.gpu
def test_skips_are_on_the_device_of_the_network(plain, images):
    pruned = apply(plain.cuda(), engine="rewrite", density=0.3, example_inputs=images.cuda())
    assert {parameter.device.type for parameter in pruned.module.parameters()} == {"cuda"}


def test_without_skips_nothing_is_grafted(plain, images):
    pruned = apply(plain, engine="rewrite", density=0.3, skip="none", example_inputs=images)
    assert list(pruned.module.state_dict()) == list(plain.state_dict())
    assert not hasattr(pruned.module, "n2n_skips")


def test_addresses_that_the_model_does_not_have_are_all_named(pruned, residual, images):
    with pytest.raises(InvalidFileError, match=r"the plan does not fit this model: it has no node norm3#0, norm4#0"):
        graft(trace(residual, (images,)).module, pruned.plan.skips)
