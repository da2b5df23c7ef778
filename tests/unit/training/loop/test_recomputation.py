"""Gradient checkpointing: the same numbers to the bit, each block computed twice."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from n2nsurgery import apply
from n2nsurgery.core.errors import RunError, UnknownNameError, UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.recomputation import Recomputation, blocks_of
from n2nsurgery.training.loop.run import run_training

IMAGE = (2, 6, 6)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.dropout(torch.relu(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(2)
        self.body = nn.Sequential(*(Block(6) for _ in range(4)))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class Growing(nn.Module):
    """Dense connections: every layer is given the list of all outputs before, which grows afterwards."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({f"layer{index}": Joined(2 * index) for index in range(1, 4)})
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        found = [x.mean(1).flatten(1)[:, :2]]
        for layer in self.layers.values():
            found.append(layer(found))
        return self.head(torch.cat(found, 1))


class Joined(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first, self.second = nn.Linear(features, 4), nn.Linear(4, 2)

    def forward(self, found):
        return self.second(torch.tanh(self.first(torch.cat(found, 1))))


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(self.norm(x.mul_(2)))


def made(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind()


def pruned(kind=Net, **options):
    example = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(1))
    return apply(made(kind), density=0.5, example_inputs=example, **options)


def trained(model, blobs, config, folder, **options):
    data = TrainData(train=blobs(3, shape=IMAGE), evaluations={"validation": blobs(1, shape=IMAGE)})
    return run_training(model, data, config(batch_size=12, **options), folder=folder)


def test_a_pruned_network_with_skips_between_blocks_trains_to_the_same_bits(blobs, config, tmp_path):
    plain, again = pruned(engine="hooks", skip_length=3), pruned(engine="hooks", skip_length=3)
    ends = [(str(route.source), str(route.target)) for route in plain.plan.engine.routes]
    assert ends == [
        ("input 0 of 'stem.dropout'", "output of 'body.2.norm'"),
        ("input 0 of 'body.0.dropout'", "output of 'body.3.norm'"),
    ]
    expected = trained(plain.module, blobs, config, tmp_path / "plain")
    found = trained(again.module, blobs, config, tmp_path / "again", gradient_checkpointing=True)
    assert [(record.loss, record.evaluations) for record in found.history] == [
        (record.loss, record.evaluations) for record in expected.history
    ]
    state = plain.module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.module.state_dict().items())
    steps = 2 * 3
    assert [block.calls for block in again.module.body] == [block.calls + steps for block in plain.module.body]


@pytest.mark.parametrize("kind", [Net, Growing])
def test_gradients_are_the_same_to_the_bit(kind):
    images = torch.randn(3, *IMAGE, generator=torch.Generator().manual_seed(2))
    gradients = []
    for patterns in (None, ()):
        model = made(kind)
        blocks = Recomputation(model, patterns) if patterns is not None else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)  # of dropout
            model(images).square().sum().backward()
        if blocks is not None:
            blocks.require_called()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    expected, found = gradients
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_batch_statistics_take_in_a_batch_once():
    images = torch.randn(3, *IMAGE, generator=torch.Generator().manual_seed(2))
    model = made(Net)
    Recomputation(model, ())
    model(images).sum().backward()
    assert [int(block.norm.num_batches_tracked) for block in model.body] == [1, 1, 1, 1]
    assert [block.calls for block in model.body] == [2, 2, 2, 2]


def test_without_gradients_and_after_the_end_blocks_run_once():
    images = torch.zeros(1, *IMAGE)
    model = made(Net)
    blocks = Recomputation(model, ())
    with torch.no_grad():
        model(images)
    assert [block.calls for block in model.body] == [1, 1, 1, 1]
    blocks.close()
    model(images.expand(2, -1, -1, -1)).sum().backward()
    assert [block.calls for block in model.body] == [2, 2, 2, 2]
    assert all("forward" not in vars(block) for block in model.body)


def test_a_deep_copy_runs_its_own_blocks():
    model = made(Net).eval()
    Recomputation(model, ())
    copied = copy.deepcopy(model)
    nn.init.zeros_(copied.body[3].norm.weight)
    nn.init.ones_(copied.body[3].norm.bias)
    assert torch.equal(copied(torch.randn(1, *IMAGE)), copied.head(torch.ones(1, 6)))


def test_blocks_are_elements_of_containers_with_several_layers():
    nested = nn.Sequential(nn.Conv2d(2, 6, 1), nn.Sequential(Block(6), nn.Sequential(Block(6), nn.ReLU())))
    assert list(blocks_of(nested)) == ["1.0", "1.1.0"]
    assert list(blocks_of(made(Growing))) == ["layers.layer1", "layers.layer2", "layers.layer3"]


def test_blocks_can_be_named_and_the_outermost_count():
    assert list(blocks_of(made(Net), ("stem", "body.*"))) == ["stem", "body.0", "body.1", "body.2", "body.3"]
    with pytest.raises(UnknownNameError, match="unknown module pattern 'bodies'; did you mean 'body'"):
        blocks_of(made(Net), ("bodies",))


def test_a_network_without_blocks_is_refused(mlp, blobs, config, tmp_path):
    with pytest.raises(
        UsageError, match=r"Sequential has no blocks: .*; name the blocks in train\.checkpointed_modules"
    ):
        run_training(mlp(), TrainData(train=blobs()), config(gradient_checkpointing=True), folder=tmp_path)


def test_a_rewritten_copy_calls_no_block_and_is_refused(blobs, config, tmp_path):
    with pytest.raises(UsageError, match=r"its forward pass calls none of them, .*prune with the engine 'hooks'"):
        trained(
            pruned(Growing, engine="rewrite", skip="none").module, blobs, config, tmp_path, gradient_checkpointing=True
        )


def test_a_block_that_overwrites_its_input_ends_in_our_words(blobs, config, tmp_path):
    model = nn.Sequential(nn.Linear(8, 4), Overwriting(), nn.Linear(4, 3))
    with pytest.raises(RunError, match=r"failed with gradient checkpointing: .*inplace operation.*name the blocks"):
        run_training(model, TrainData(train=blobs()), config(gradient_checkpointing=True), folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_checkpointing": True, "compile": True}, "gradient_checkpointing is True; it must be left out"),
        ({"checkpointed_modules": ("body",)}, "checkpointed_modules is .*; it must be left out without"),
    ],
)
def test_what_contradicts_it_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**options)
