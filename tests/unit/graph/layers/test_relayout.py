"""Convolutions between tokens: their pre-activation and activation are tokens, with channels last."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery import apply
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace

N, H, W, C = 2, 3, 5, 6


class Mlp(nn.Module):
    """The MLP of Segformer and PVT v2 on tokens, (N, H W, C), with its shortcut."""

    def __init__(self, back) -> None:
        super().__init__()
        self.back = back
        self.fc1, self.conv, self.fc2 = nn.Linear(C, C), nn.Conv2d(C, C, 3, padding=1, groups=C), nn.Linear(C, C)
        self.norm, self.act = nn.LayerNorm(C), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        image = self.fc1(x).transpose(1, 2).view(x.shape[0], C, H, W)
        return x + self.fc2(self.back(self, self.conv(image)))


def flattened(_: Mlp, z: Tensor) -> Tensor:
    return F.gelu(z.flatten(2).transpose(1, 2))


def viewed(_: Mlp, z: Tensor) -> Tensor:
    samples, channels, height, width = z.shape
    return F.gelu(z.permute(0, 2, 3, 1).reshape(samples, height * width, channels))


def normed(mlp: Mlp, z: Tensor) -> Tensor:
    return F.gelu(mlp.norm(z.flatten(2).permute(0, 2, 1)))


def by_module(mlp: Mlp, z: Tensor) -> Tensor:
    return mlp.act(z.flatten(2).transpose(1, 2))


def graph_of(back):
    return layer_graph(trace(nn.Sequential(Mlp(back), Mlp(back)), (torch.zeros(N, H * W, C),)))


@pytest.mark.parametrize(
    ("back", "address"), [(flattened, "0.transpose#1"), (viewed, "0.reshape#0"), (normed, "0.norm#0")]
)
def test_what_is_laid_out_anew_before_the_nonlinearity_is_the_pre_activation(back, address):
    conv = graph_of(back).layer("0.conv")
    assert (conv.preactivation.address, conv.preactivation.shape) == (address, (H * W, C))
    assert (conv.activation.address, conv.activation.shape) == ("0.gelu#0", (H * W, C))
    assert conv.preactivation.layout == conv.activation.layout == "channels_last"
    assert (conv.output.shape, conv.output.layout) == ((C, H, W), "channels_first")
    assert conv.nonlinearity.name == "GELU"


def mixed(_: Mlp, z: Tensor) -> Tensor:
    return F.gelu(z.reshape(z.shape[0], H * W, C))


def columns_first(_: Mlp, z: Tensor) -> Tensor:
    return F.gelu(z.permute(0, 3, 2, 1).reshape(z.shape[0], H * W, C))


def cut(_: Mlp, z: Tensor) -> Tensor:
    return F.gelu(F.pad(z[:, :, 1:], (0, 0, 1, 0)).flatten(2).transpose(1, 2))


def normed_alone(mlp: Mlp, z: Tensor) -> Tensor:
    return mlp.norm(z.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("back", [mixed, columns_first, cut, normed_alone])
def test_where_entries_are_mixed_or_left_out_or_no_nonlinearity_follows_the_output_is_as_it_was(back):
    conv = graph_of(back).layer("0.conv")
    assert (conv.preactivation.address, conv.preactivation.shape) == ("0.conv#0", (C, H, W))
    assert conv.preactivation.layout == "channels_first"
    assert conv.activation is None


@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_a_skip_adds_tokens_to_tokens(engine):
    torch.manual_seed(0)
    x = torch.randn(N, H * W, C)
    model = nn.Sequential(Mlp(by_module), Mlp(by_module))
    pruned = apply(model, example_inputs=x, density=0.9, skip_ratio=0.1, skip_length=3, engine=engine)
    (skip,) = pruned.plan.skips
    assert (skip.pair.source, skip.pair.target, skip.pair.length) == ("0.conv", "1.conv", 3)
    module = pruned.module.eval()
    first, second = (
        (module.get_submodule(f"{i}.fc1"), module.get_submodule(f"{i}.conv"), module.get_submodule(f"{i}.fc2"))
        for i in (0, 1)
    )

    def preactivation(x: Tensor, fc1: nn.Module, conv: nn.Conv2d) -> Tensor:
        image = F.linear(x, fc1.weight, fc1.bias).transpose(1, 2).reshape(N, C, H, W)
        return F.conv2d(image, conv.weight, conv.bias, padding=1, groups=C).flatten(2).transpose(1, 2)

    source = F.gelu(preactivation(x, *first[:2]))
    hidden = x + F.linear(source, first[2].weight, first[2].bias)
    weight = module.get_parameter("n2n_skips.0.weight").reshape(C, C)
    target = preactivation(hidden, *second[:2]) + F.gelu(source @ weight.T)
    assert weight.count_nonzero() > 0
    # Float32 sums of few products, in another order.
    torch.testing.assert_close(module(x), hidden + F.linear(F.gelu(target), second[2].weight, second[2].bias))
