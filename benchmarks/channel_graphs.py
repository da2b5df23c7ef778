"""Channel graphs of the usual networks at random initialization, without building the networks.

Conductance = sum over the kernel of |w|, w ~ N(0, 2 / fan_out), each weight kept with probability `density`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, NodeGroup, identity_block


@dataclass
class Builder:
    """Adds layers one by one; every method returns the numbers of the nodes that it wrote to."""

    density: float
    generator: np.random.Generator
    groups: list[NodeGroup] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def nodes(self, name: str, count: int) -> np.ndarray:
        start = self.groups[-1].stop if self.groups else 0
        self.groups.append(NodeGroup(name=name, start=start, stop=start + count))
        return np.arange(start, start + count)

    def layer(self, name: str, sources: np.ndarray, targets: np.ndarray, taps: int) -> np.ndarray:
        shape = (len(targets), len(sources), taps)
        weights = np.abs(self.generator.standard_normal(shape, dtype=np.float32)) * np.sqrt(2 / (shape[0] * taps))
        if self.density < 1:
            kept = self.generator.random(shape, dtype=np.float32) < self.density
            weights, counts = (weights * kept).sum(2, dtype=np.float64), kept.sum(2)
            if np.count_nonzero(counts) < 0.25 * counts.size:
                weights, counts = sp.csr_array(weights), sp.csr_array(counts)
        else:
            weights, counts = weights.sum(2, dtype=np.float64), np.broadcast_to(np.int64(taps), shape[:2])
        self.blocks.append(
            Block(name=name, sources=sources, targets=targets, weights=weights, kept=counts, size=int(np.prod(shape)))
        )
        return targets

    def graph(self, sources: np.ndarray, sinks: np.ndarray) -> ChannelGraph:
        return ChannelGraph(groups=tuple(self.groups), sources=sources, sinks=sinks, blocks=tuple(self.blocks))


def resnet50(density: float = 1.0, seed: int = 0, classes: int = 1000) -> ChannelGraph:
    net = Builder(density, np.random.default_rng(seed))
    image = net.nodes("input", 3)
    x = net.layer("conv1", image, net.nodes("conv1", 64), 49)
    for stage, (width, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for index in range(repeats):
            name = f"layer{stage}.{index}"
            a = net.layer(f"{name}.conv1", x, net.nodes(f"{name}.conv1", width), 1)
            b = net.layer(f"{name}.conv2", a, net.nodes(f"{name}.conv2", width), 9)
            out = net.layer(f"{name}.conv3", b, net.nodes(f"{name}.conv3", 4 * width), 1)
            if index == 0:
                net.layer(f"{name}.downsample.0", x, out, 1)
            else:
                net.blocks.append(identity_block(f"{name}.add", x, out))
            x = out
    return net.graph(image, net.layer("fc", x, net.nodes("fc", classes), 1))


def chain(widths: list[int], taps: int, density: float = 1.0, seed: int = 0) -> ChannelGraph:
    """Layers one after the other; `taps` weights for each pair of channels."""
    net = Builder(density, np.random.default_rng(seed))
    first = x = net.nodes("input", widths[0])
    for index, width in enumerate(widths[1:]):
        x = net.layer(f"{index}", x, net.nodes(f"{index}", width), taps)
    return net.graph(first, x)


def vgg19(density: float = 1.0, seed: int = 0) -> ChannelGraph:
    return chain([3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8, 10], 9, density, seed)


def mlp(density: float = 1.0, seed: int = 0) -> ChannelGraph:
    return chain([3072, 512, 256, 128, 64], 1, density, seed)


def wide(nodes: int = 200_000, edges: int = 4_900_000, seed: int = 0) -> ChannelGraph:
    """Ten layers of equal width, sparse throughout."""
    net = Builder(1.0, np.random.default_rng(seed))
    width = nodes // 10
    first = x = net.nodes("input", width)
    for index in range(9):
        density = edges / 9 / width**2
        weights = sp.random_array((width, width), density=density, format="csr", rng=net.generator)
        targets = net.nodes(f"{index}", width)
        kept = weights.copy()
        kept.data = np.ones(weights.nnz, dtype=np.int64)
        net.blocks.append(Block(name=f"{index}", sources=x, targets=targets, weights=weights, kept=kept, size=width**2))
        x = targets
    return net.graph(first[:3], x)
