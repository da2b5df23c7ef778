"""The part that each operation plays between two layers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.graph.layers.roles import Role, is_tensor, name_of, role_of
from n2nsurgery.graph.tracing.trace import trace


class Code(nn.Module):
    def __init__(self, code) -> None:
        super().__init__()
        self.code = code
        self.weight, self.bias = nn.Parameter(torch.rand(4, 4, 1)), nn.Parameter(torch.rand(4))
        self.register_buffer("kernel", torch.rand(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self, x)


class Weights(nn.Module):
    """Cannot be followed, and has a layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv1d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else x


class BatchNormAct(nn.BatchNorm1d):
    """A norm with its activation, as timm fuses them."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__(4)
        self.act = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 if self.training else x


def last_role(code) -> Role:
    """The role of the last node before the output."""
    module = trace(code if isinstance(code, nn.Module) else Code(code), (torch.zeros(2, 4, 8),)).module
    return role_of(list(module.n2n_graph.nodes)[-2], module)


ROLES = [
    (nn.Sequential(nn.Conv1d(4, 4, 1)), Role.WEIGHTED),
    (nn.Sequential(nn.ConvTranspose1d(4, 4, 1)), Role.WEIGHTED),
    (nn.Sequential(nn.Linear(8, 8)), Role.WEIGHTED),
    (lambda m, x: F.conv1d(x, m.weight), Role.WEIGHTED),
    (lambda m, x: F.conv1d(x, weight=m.weight, bias=m.bias), Role.WEIGHTED),
    (lambda m, x: F.conv1d(x, m.kernel), Role.OTHER),
    (lambda m, x: F.conv1d(x, m.weight * 2), Role.OTHER),
    (nn.Sequential(Weights()), Role.OPAQUE),
    (nn.Sequential(nn.ELU()), Role.ACTIVATION),
    (nn.Sequential(nn.PReLU()), Role.ACTIVATION),
    (lambda _, x: F.mish(x), Role.ACTIVATION),
    (lambda _, x: x.tanh(), Role.ACTIVATION),
    (lambda _, x: x.relu_(), Role.ACTIVATION),
    (nn.Sequential(nn.BatchNorm1d(4)), Role.NORM),
    (nn.Sequential(nn.GroupNorm(2, 4)), Role.NORM),
    (nn.Sequential(BatchNormAct(nn.Identity())), Role.NORM),
    (nn.Sequential(BatchNormAct(nn.ReLU())), Role.ACTIVATION),
    (lambda m, x: F.instance_norm(x, weight=m.bias), Role.NORM),
    (nn.Sequential(nn.Dropout(0.1)), Role.PASS),
    (nn.Sequential(nn.Identity()), Role.PASS),
    (nn.Sequential(LayerScale()), Role.PASS),
    (lambda _, x: x * 2, Role.PASS),
    (lambda m, x: m.bias[:, None] + x, Role.ADD),  # the slice may be of anything
    (lambda m, x: x + m.weight[..., 0].T.contiguous().mean() * 0, Role.ADD),
    (lambda m, x: x * m.kernel.view(4, 4)[:, :1], Role.MUL),
    (lambda _, x: x.double(), Role.OTHER),
    (lambda _, x: x.float(), Role.PASS),
    (lambda _, x: x / 2, Role.PASS),
    (lambda _, x: x + x.mean(), Role.ADD),
    (lambda _, x: x.sub(x.mean()), Role.ADD),
    (lambda _, x: torch.mul(x, x.mean()), Role.MUL),
    (lambda _, x: torch.cat([x, x]), Role.CONCAT),
    (lambda _, x: x @ x.mT, Role.MATMUL),
    (lambda _, x: F.softmax(x, -1), Role.MATMUL),
    (nn.Sequential(nn.Softmax(-1)), Role.MATMUL),
    (lambda _, x: x[:, 1:], Role.LAYOUT),
    (lambda _, x: x.mT, Role.LAYOUT),
    (lambda _, x: x.flatten(1), Role.LAYOUT),
    (nn.Sequential(nn.Flatten()), Role.LAYOUT),
    (lambda _, x: x.size(0), Role.META),
    (lambda _, x: x.dtype, Role.META),
    (lambda _, x: x.mean(-1), Role.OTHER),
    (nn.Sequential(nn.MaxPool1d(2)), Role.OTHER),
    (lambda _, x: x.exp(), Role.OTHER),
]


@pytest.mark.parametrize(("code", "role"), ROLES)
def test_every_operation_has_its_role(code, role):
    assert last_role(code) is role


def test_names_are_bare_and_tensors_are_known():
    module = trace(Code(lambda _, x: F.relu(x.add_(1)).shape[0]), (torch.zeros(2, 4, 8),)).module
    nodes = list(module.n2n_graph.nodes)[1:-1]
    assert [name_of(node, module) for node in nodes] == ["add", "relu", "size"]
    assert [is_tensor(node) for node in nodes] == [True, True, False]
