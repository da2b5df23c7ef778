"""Small modules that do what a traced graph cannot hold or finds hard, one for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from n2nsurgery.coverage.catalogue import Inputs


def _layers(count: int, function: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(*[each for _ in range(count) for each in (nn.Linear(8, 8), function())])


class _Around(nn.Module):
    """Four layers with ReLU; subclasses do something between the first two and the last two."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = _layers(2), _layers(2)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401 - subclasses return all kinds
        return self.after(self.between(self.before(x)))

    def between(self, x: Tensor) -> Tensor:
        return x


class _Reversal(torch.autograd.Function):
    """The identity whose gradient has the other sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - torch's interface
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return -gradients[0]


class _AutogradFunction(_Around):
    """A backward pass of its own."""

    def between(self, x: Tensor) -> Tensor:
        return _Reversal.apply(x)  # type: ignore[no-any-return]


class _NoGrad(_Around):
    """A region without gradients."""

    def between(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.abs().mean()
        return x / (1 + scale)


class _BatchBranch(_Around):
    """A branch on the size of the batch."""

    def between(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 3 else x  # noqa: PLR2004


class _DataBranch(_Around):
    """A branch on values."""

    def between(self, x: Tensor) -> Tensor:
        return x * 2 if bool(x.sum() > 0) else x


class _Counting(_Around):
    """A counter that forward keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class _TrainOverride(_Around):
    """A first half that always stays in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.before.append(nn.BatchNorm1d(8))

    def train(self, mode: bool = True) -> _TrainOverride:  # noqa: FBT001, FBT002 - torch's interface
        super().train(mode)
        self.before.eval()
        return self


class _Noisy(_Around):
    """Random numbers in both modes."""

    def between(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class _ContainerHook(_Around):
    """A hook on a container."""

    def __init__(self) -> None:
        super().__init__()
        self.before.register_forward_hook(_halved)


def _halved(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:  # noqa: ANN401, ARG001 - torch's interface
    return output / 2


@dataclass
class _Result:
    value: Tensor
    hidden: Tensor


class _DataclassOutput(_Around):
    """A dataclass as the output."""

    def forward(self, x: Tensor) -> _Result:
        hidden = self.before(x)
        return _Result(value=self.after(hidden), hidden=hidden)


class _Keywords(_Around):
    """Keyword arguments that are passed on."""

    def forward(self, x: Tensor, **options: Any) -> Tensor:  # noqa: ANN401
        value: Tensor = self.after(self.before(x)) * options.get("scale", 1.0)
        return value


class _DictInput(nn.Module):
    """A mapping of tensors as the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _layers(4)

    def forward(self, batch: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
        return self.layers(batch["x"])


class _WeightStandardized(nn.Conv2d):
    """A convolution that does not multiply with its parameter, but with what it makes of it."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input, weight, self.bias, padding=1)


class _Functional(nn.Module):
    """Layers without modules: parameters and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(8, 8) / 3) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = F.relu(F.linear(x, weight))
        return x


class _Recurrent(nn.Module):
    """A recurrent layer between linear ones."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cell, self.after = kind(8, 8, batch_first=True), _layers(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.cell(x)[0])  # type: ignore[no-any-return]


class _Shared(nn.Module):
    """One layer that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.after = nn.Linear(8, 8), _layers(3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(self.layer(x))
        return self.after(x)  # type: ignore[no-any-return]


def _convolutions(rank: int) -> nn.Sequential:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    return nn.Sequential(*[each for _ in range(4) for each in (conv(4, 4, 3, padding=1), nn.ReLU())])


def _autoencoder() -> nn.Sequential:
    down = [nn.Conv2d(4, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU()]
    up = [nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 4, 2, 1)]
    return nn.Sequential(*down, *up)


def _standardized() -> nn.Sequential:
    return nn.Sequential(*[each for _ in range(4) for each in (_WeightStandardized(4, 4, 3), nn.ReLU())])


def _normalized(normalized: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
    return nn.Sequential(*[each for _ in range(5) for each in (normalized(nn.Linear(8, 8)), nn.ReLU())])


def _encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)


def _vector() -> tuple[Tensor, ...]:
    return (torch.randn(2, 8),)


def _tokens() -> tuple[Tensor, ...]:
    return (torch.randn(2, 5, 8),)


def _image() -> tuple[Tensor, ...]:
    return (torch.randn(2, 4, 8, 8),)


_MODELS: Mapping[str, tuple[Callable[[], nn.Module], Callable[[], Inputs]]] = MappingProxyType(
    {
        "plain": (lambda: _layers(5), _vector),
        "three-layers": (lambda: _layers(3), _tokens),
        "prelu": (lambda: _layers(5, nn.PReLU), _vector),
        "sigmoid": (lambda: _layers(5, nn.Sigmoid), _vector),
        "softplus": (lambda: _layers(5, nn.Softplus), _vector),
        "conv1d": (lambda: _convolutions(1), lambda: (torch.randn(2, 4, 9),)),
        "conv2d": (lambda: _convolutions(2), _image),
        "conv3d": (lambda: _convolutions(3), lambda: (torch.randn(2, 4, 4, 5, 6),)),
        "autoencoder": (_autoencoder, _image),
        "transformer-encoder": (_encoder, _tokens),
        "functional": (_Functional, _vector),
        "shared": (_Shared, _vector),
        "lstm": (lambda: _Recurrent(nn.LSTM), _tokens),
        "gru": (lambda: _Recurrent(nn.GRU), _tokens),
        "weight-standardized": (_standardized, _image),
        "orthogonal": (lambda: _normalized(parametrizations.orthogonal), _vector),
        "weight-norm": (lambda: _normalized(parametrizations.weight_norm), _vector),
        "spectral-norm": (lambda: _normalized(parametrizations.spectral_norm), _vector),
        "autograd-function": (_AutogradFunction, _vector),
        "no-grad": (_NoGrad, _vector),
        "batch-branch": (_BatchBranch, _vector),
        "data-branch": (_DataBranch, _vector),
        "counting": (_Counting, _vector),
        "train-override": (_TrainOverride, _vector),
        "noisy": (_Noisy, _vector),
        "container-hook": (_ContainerHook, _vector),
        "dataclass-output": (_DataclassOutput, _vector),
        "keywords": (_Keywords, _vector),
        "dict-input": (_DictInput, lambda: ({"x": torch.randn(2, 8)},)),
        "double": (lambda: _layers(5).double(), lambda: (torch.randn(2, 8, dtype=torch.float64),)),
    }
)


def names() -> tuple[str, ...]:
    """The kinds."""
    return tuple(_MODELS)


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The module of a kind with its inputs."""
    make, inputs = _MODELS[name]
    return make(), inputs()
