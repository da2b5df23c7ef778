"""What is found in a handful of networks, as text. A change on purpose: `pytest tests/golden --regen`, and read it."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from n2nsurgery.graph.layers.layer_graph import LayerGraph, Rejection, Signal, WeightedLayer
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.layers.pair_selection import PairSelection
from n2nsurgery.graph.layers.pairs import select_pairs
from n2nsurgery.graph.tracing.trace import trace

FOLDER = Path(__file__).parent / "layer_graphs"


class Residual(nn.Module):
    """A bottleneck of a ResNet, its shortcut projected where the shape changes, with or without a gate."""

    def __init__(self, channels: int, width: int, *, stride: int = 1, gated: bool = False) -> None:
        super().__init__()
        out = 2 * width
        self.conv1, self.norm1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.down = (
            nn.Identity()
            if channels == out
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )
        self.gate = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(out, 2, 1), nn.ReLU(), nn.Conv2d(2, out, 1), nn.Sigmoid())
            if gated
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        y = y if self.gate is None else y * self.gate(y)
        y += self.down(x)
        return self.relu(y)


class Branches(nn.Module):
    """Branches that are concatenated, and a second head in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.short = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())
        self.long = nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 1, 1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU())
        self.head, self.aux = nn.Linear(4, 2), nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = torch.cat([self.short(x), self.long(x), self.pool(x)], 1)
        y = self.head(self.last(x).mean((2, 3)))
        return (y, self.aux(x.mean((2, 3)))) if self.training else y


def convolutions() -> nn.Module:
    body = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
    more = [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU(), nn.Conv2d(8, 6, 1), nn.Tanh(), nn.Conv2d(6, 6, 1)]
    return nn.Sequential(*body, *more, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, 10))


def residual(*, gated: bool) -> nn.Module:
    blocks = [Residual(4, 4, gated=gated), Residual(8, 4, gated=gated), Residual(8, 6, stride=2, gated=gated)]
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)
    )


def mlp() -> nn.Module:
    sizes = (12, 10, 8, 6, 4)
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.GELU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(4, 2))


def vision_transformer() -> nn.Module:
    return VisionTransformer(16, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=5)


def swin() -> nn.Module:
    return SwinTransformer([4, 4], embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=5)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions": (convolutions, (3, 16, 16)),
    "residual": (lambda: residual(gated=False), (3, 16, 16)),
    "residual_gated": (lambda: residual(gated=True), (3, 16, 16)),
    "mlp": (mlp, (3, 4)),
    "vision_transformer": (vision_transformer, (3, 16, 16)),
    "swin": (swin, (3, 32, 32)),
    "resnet18": (torchvision.models.resnet18, (3, 64, 64)),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, (3, 64, 64)),
    "branches": (Branches, (3, 16, 16)),
}


def size(*numbers: int) -> str:
    return "x".join(str(number) for number in numbers) or "-"


def signal(found: Signal | None) -> str:
    return "-" if found is None else f"{found.address} {size(*found.shape)} {found.layout}"


def of_layer(layer: WeightedLayer) -> str:
    function = layer.nonlinearity
    parts = [
        f"{layer.operator} {layer.in_channels}->{layer.out_channels} groups {layer.groups}",
        f"kernel {size(*layer.kernel)} stride {size(*layer.stride)}",
        f"depth {layer.depth} macs {layer.macs}",
        f"z {signal(layer.preactivation)}",
        f"a {signal(layer.activation)}",
        "" if function is None else f"g {function.name}{dict(function.arguments) or ''}",
        "" if layer.join is None else f"sum {layer.join} with {layer.shortcut}{' projected' * layer.projected}",
        "" if len(layer.modes) == 2 else f"in {layer.modes[0]} mode only",
    ]
    return f"layer {layer.address}: {', '.join(part for part in parts if part)}"


def of_refusal(refusal: Rejection) -> str:
    ends = f"{refusal.source or '*'} -> {refusal.target or '*'}"
    return f"refused {ends}: {refusal.reason}"


def text(graph: LayerGraph) -> str:
    """One line for each layer, weight without a layer, rejection, and pair of three layers; sorted."""
    pairs, refused = select_pairs(graph, PairSelection(length=3), seed=0)
    shown = {layer.weight for layer in graph.layers}

    def lines() -> Iterator[str]:
        yield from (of_layer(layer) for layer in graph.layers)
        yield from (of_refusal(refusal) for refusal in (*graph.refusals, *refused))
        for weight in graph.weights:
            if weight.name not in shown:
                yield f"weight {weight.name}: {weight.layout} {size(*weight.shape)}, uses {weight.uses}"
        for pair in pairs:
            ends = f"{signal(pair.source_signal)} -> {signal(pair.target_signal)}"
            yield f"pair {pair.source} -> {pair.target}: {ends}, k {pair.length}{', shortcut' * pair.shortcut}"

    totals = f"{len(graph.pairs)} candidate pairs, {graph.reference_weights} weights, {graph.macs} multiply-accumulates"
    return "\n".join([f"# {totals}", *sorted(set(lines())), ""])


@pytest.mark.parametrize("name", MODELS)
def test_what_is_found_in_a_network_is_what_was_found_before(name, request):
    build, shape = MODELS[name]
    found = text(layer_graph(trace(build(), (torch.zeros(2, *shape),))))
    file = FOLDER / f"{name}.txt"
    if request.config.getoption("--regen"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_network():
    assert {file.stem for file in FOLDER.iterdir()} == set(MODELS)
