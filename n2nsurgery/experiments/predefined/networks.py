"""The networks of the pre-defined sparsity paper and the fan-outs that it reports for them.

Convolutions are counted with their biases, junctions without, as the paper counts.
Source: "Characterizing sparse connectivity patterns in neural networks", Tables 1 and 2, appendix 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from n2nsurgery.masks.patterns.fans import Junction, fan_in_of

FanOuts = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """Channels, square kernel and the side of its output, which has the size of its input."""

    inputs: int
    outputs: int
    kernel: int
    side: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return (self.inputs * self.kernel**2 + 1) * self.outputs

    @property
    def operations(self) -> int:
        """Multiply-accumulates for one sample, the biases' additions among them."""
        return self.parameters * self.side**2


@dataclass(frozen=True, kw_only=True)
class Network:
    """`widths` of the classification layers, features first; `rows` are (fan-outs, printed overall density in %)."""

    name: str
    widths: tuple[int, ...]
    rows: tuple[tuple[FanOuts, str], ...]
    convolutions: tuple[Convolution, ...] = ()

    @property
    def junctions(self) -> tuple[Junction, ...]:
        """(n_out, n_in) of each junction."""
        return tuple((right, left) for left, right in pairwise(self.widths))

    @property
    def dense_weights(self) -> int:
        """Weights of the fully connected junctions."""
        return sum(n_out * n_in for n_out, n_in in self.junctions)

    def weights(self, fan_outs: FanOuts) -> int:
        """Weights of the junctions with these fan-outs."""
        return sum(n_in * fan_out for (_, n_in), fan_out in zip(self.junctions, fan_outs, strict=True))

    def fan_ins(self, fan_outs: FanOuts) -> tuple[int, ...]:
        """The fan-ins that belong to `fan_outs`; BudgetError where one is not a whole number."""
        return tuple(fan_in_of(*junction, fan) for junction, fan in zip(self.junctions, fan_outs, strict=True))

    def densities(self, fan_outs: FanOuts) -> tuple[float, ...]:
        """Density of each junction."""
        return tuple(fan / n_out for (n_out, _), fan in zip(self.junctions, fan_outs, strict=True))


def _cifar() -> tuple[Convolution, ...]:
    widths = (3, 64, 64, 128, 128, 256, 256)
    sides = (32, 32, 16, 16, 8, 8)
    return tuple(
        Convolution(inputs=a, outputs=b, kernel=3, side=side)
        for (a, b), side in zip(pairwise(widths), sides, strict=True)
    )


_MNIST = (Convolution(inputs=1, outputs=32, kernel=5, side=28), Convolution(inputs=32, outputs=64, kernel=5, side=14))

CIFAR10_2CL = Network(
    name="CIFAR10 conv+2CLs", widths=(4096, 512, 16), convolutions=_cifar(),
    rows=(((1, 1), "0.22"), ((1, 8), "0.39")),
)  # fmt: skip
CIFAR10_3CL = Network(
    name="CIFAR10 conv+3CLs", widths=(4096, 512, 256, 16), convolutions=_cifar(),
    rows=(((1, 1, 1), "0.22"), ((1, 1, 8), "0.3")),
)  # fmt: skip
CIFAR100_2CL = Network(
    name="CIFAR100 conv+2CLs", widths=(4096, 512, 128), convolutions=_cifar(),
    rows=(((1, 1), "0.21"), ((1, 8), "0.38"), ((1, 32), "0.95")),
)  # fmt: skip
CIFAR100_3CL = Network(
    name="CIFAR100 conv+3CLs", widths=(4096, 512, 256, 128), convolutions=_cifar(),
    rows=(((1, 1, 1), "0.22"), ((1, 1, 16), "0.39"), ((1, 2, 32), "0.59")),
)  # fmt: skip
MNIST_CONV = Network(
    name="MNIST conv+2CLs", widths=(3136, 784, 10), convolutions=_MNIST,
    rows=(((1, 5), "0.29"), ((4, 10), "0.83"), ((16, 10), "2.35")),
)  # fmt: skip
MNIST_CL = Network(
    name="MNIST CL (x = 224)", widths=(784, 224, 10), rows=(((4, 10), "3.02"), ((112, 10), "50.63"))
)  # fmt: skip
MORSE = Network(name="Morse CL", widths=(64, 1024, 64), rows=(((512, 32), "50"), ((128, 8), "12.5")))
NETWORKS = (CIFAR10_2CL, CIFAR10_3CL, CIFAR100_2CL, CIFAR100_3CL, MNIST_CONV, MNIST_CL, MORSE)
