"""Residual blocks of a twin: norms, sums and ReLUs in one pass, with the results of the block's own forward."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from n2nsurgery.masks.attachment import apply_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.sparse_training import sparse_training
from n2nsurgery.sparse_training.fused_blocks import FusedBlock


class Counting(BasicBlock):
    """Has a side effect."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class Recording(BasicBlock):
    """Changes a list of its own."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.seen = []

    def forward(self, x):
        self.seen.append(x.shape)
        return super().forward(x)


class Gated(BasicBlock):
    """Depends on the mode and on a number."""

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return F.relu(x + out) if self.training else F.relu(x + 0.5 * out)


class Overwriting(BasicBlock):
    """The sum is written over the input, which is read again."""

    def forward(self, x):
        out = self.bn1(self.conv1(x))
        x = x.clone()
        y = self.bn2(self.conv2(out))
        x += y
        return self.relu(x)


def blocks(*kinds: type[nn.Module]) -> nn.Module:
    """A network of these blocks with half of their weights, of four channels; the first one projects."""
    torch.manual_seed(0)
    side = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2, bias=False), nn.BatchNorm2d(4))
    network = nn.Sequential(BasicBlock(3, 4, 2, side), *(kind(4, 4) for kind in kinds))
    masks = {name: torch.rand(p.shape) < 0.5 for name, p in network.named_parameters() if p.ndim > 1}
    apply_masks(network, MaskSet(masks))
    return network


def trained(network: nn.Module) -> list[torch.Tensor]:
    """Output, and gradients of the input and of BatchNorm's parameters, of a step in training mode; evaluation."""
    x = torch.randn(5, 3, 9, 9, generator=torch.Generator().manual_seed(1)).requires_grad_()
    out = network.train()(x)
    out.square().sum().backward()
    norms = [p.grad for name, p in network.named_parameters() if "bn" in name]
    return [out.detach(), x.grad, *norms, network.eval()(x).detach()]


def agree(ours: list[torch.Tensor], exact: list[torch.Tensor]) -> None:
    for one, two in zip(ours, exact, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)  # float32 sums of a few thousand elements


def test_blocks_are_fused_and_compute_the_same(monkeypatch):
    network = blocks(BasicBlock)
    twin = sparse_training(network, layers="all")
    exact = trained(copy.deepcopy(network))
    alone = []
    monkeypatch.setattr(nn.ReLU, "forward", lambda relu, x: alone.append(relu) or F.relu(x))
    agree(trained(twin), exact)
    assert not alone
    assert all(isinstance(block, FusedBlock) and isinstance(block, BasicBlock) for block in twin)


@pytest.mark.parametrize("kind", [Counting, Recording, Gated, Overwriting])
def test_a_block_that_does_anything_else_keeps_its_forward(kind):
    network = blocks(kind)
    twin = sparse_training(network, layers="all")
    exact = trained(copy.deepcopy(network))
    agree(trained(twin), exact)
    assert kind is Overwriting or type(twin[1]) is kind
    assert kind is not Counting or twin[1].calls == 2
    assert kind is not Recording or len(twin[1].seen) == 2


def test_hooks_and_other_children_are_respected():
    twin = sparse_training(blocks(BasicBlock), layers="all").eval()
    x = torch.randn(5, 3, 9, 9)
    exact, seen = twin(x), []
    hook = twin[1].bn2.register_forward_hook(lambda _m, _i, out: seen.append(float(out.detach().min())))
    torch.testing.assert_close(twin(x), exact)
    assert seen[0] < 0  # a hook sees what the BatchNorm alone gives
    hook.remove()
    twin[1].relu = nn.Identity()
    assert twin(x).min() < 0


@pytest.mark.parametrize("again", [copy.deepcopy, lambda twin: pickle.loads(pickle.dumps(twin))])  # noqa: S301
def test_copies_fuse_their_own_modules(again, monkeypatch):
    twin = sparse_training(blocks(BasicBlock), layers="all").eval()
    x = torch.randn(5, 3, 9, 9)
    other = again(twin[1])
    exact = twin[1](twin[0](x))
    alone = []
    monkeypatch.setattr(nn.ReLU, "forward", lambda relu, x: alone.append(relu) or F.relu(x))
    for values in other.parameters():
        assert not any(values is mine for mine in twin.parameters())
    torch.testing.assert_close(other(twin[0](x)), exact)
    assert not alone
