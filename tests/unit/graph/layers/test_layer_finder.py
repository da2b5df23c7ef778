"""Where a layer's pre-activation z and activation a are, and which roles it may not take."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.graph.layers.layer_graph import LayerGraph, WeightedLayer
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace

GATE = "gate (it scales another branch)"
ATTENTION = "attention projection"
HEAD = "head (its output is the network's output)"
DEAD = "the output does not depend on it"
NO_ACTIVATION = "no activation follows it"


def graph_of(model: nn.Module, *shape: int) -> LayerGraph:
    return layer_graph(trace(model, (torch.zeros(2, *shape),)))


class Net(nn.Module):
    """Three convolutions; `middle` says what is around the second, whose z, a and roles are asked for."""

    def __init__(self, middle) -> None:
        super().__init__()
        self.middle = middle
        self.first, self.conv, self.last = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.norm = nn.BatchNorm2d(4)
        self.scale, self.shift = nn.Parameter(torch.rand(4, 1, 1)), nn.Parameter(torch.rand(4, 1, 1))
        self.project = nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(self.middle(self, x))


def swish(z: Tensor) -> Tensor:
    return z * torch.sigmoid(z)


def swish_by_methods(z: Tensor) -> Tensor:
    return z.sigmoid() * z


def relu_and_mean(z: Tensor) -> Tensor:
    return torch.relu(z) + z.mean((2, 3), keepdim=True)


def relu_of_norm_and_itself(net: Net, z: Tensor) -> Tensor:
    return torch.relu(net.norm(z)) + z


def relu_and_tanh(z: Tensor) -> Tensor:
    return torch.cat([torch.relu(z), torch.tanh(z)], 1)[:, : z.shape[1]]


def found(middle) -> WeightedLayer:
    return graph_of(Net(middle), 4, 8, 8).layer("conv")


def ends(layer: WeightedLayer) -> tuple[str | None, str | None]:
    """Addresses of z and a."""
    return tuple(signal and signal.address for signal in (layer.preactivation, layer.activation))


Z_AND_A = {
    "plain": (lambda m, x: torch.relu(m.conv(x)), "conv#0", "relu#1"),
    "norm": (lambda m, x: torch.relu(m.norm(m.conv(x))), "norm#0", "relu#1"),
    "scale and bias of parameters": (lambda m, x: torch.tanh(m.conv(x) * m.scale + m.shift), "add#0", "tanh#0"),
    "norm, then scale": (lambda m, x: torch.tanh(m.scale * m.norm(m.conv(x))), "mul#0", "tanh#0"),
    "functional norm": (lambda m, x: F.relu(F.group_norm(m.conv(x), 2)), "group_norm#0", "relu#1"),
    "dropout between": (lambda m, x: torch.relu(m.drop(m.conv(x))), "conv#0", "relu#1"),
    "number between": (lambda m, x: torch.relu(m.conv(x) * 0.5), "conv#0", "relu#1"),
    "residual add": (lambda m, x: torch.relu(m.norm(m.conv(x)) + x), "norm#0", "relu#1"),
    "add, norm, add": (lambda m, x: F.gelu(m.norm(m.conv(x) + x) + x), "conv#0", "gelu#0"),
    "in place": (lambda m, x: F.relu(m.norm(m.conv(x)).add_(x), inplace=True), "norm#0", "relu#1"),
    "x * sigmoid(x)": (lambda m, x: swish(m.norm(m.conv(x))), "norm#0", "mul#0"),
    "sigmoid(x) * x": (lambda m, x: swish_by_methods(m.conv(x)), "conv#0", "mul#0"),
    "several users, one of them a nonlinearity": (
        lambda m, x: relu_and_mean(m.conv(x)),
        "conv#0",
        "relu#1",
    ),
    "several users, one of them a norm before a nonlinearity": (
        lambda m, x: relu_of_norm_and_itself(m, m.conv(x)),
        "conv#0",
        "relu#1",
    ),
    "its shape is no use of its data": (
        lambda m, x: torch.relu(F.interpolate(x, m.conv(x).shape[2:]) + m.conv(x)),
        "conv#0",
        None,
    ),
}


@pytest.mark.parametrize(("middle", "z", "a"), Z_AND_A.values(), ids=Z_AND_A)
def test_the_preactivation_is_after_the_norm_and_the_activation_after_the_sum(middle, z, a):
    assert ends(found(middle)) == (z, a)


NO_ACTIVATIONS = {
    "linear bottleneck": lambda m, x: m.norm(m.conv(x)),
    "bottleneck with an identity": lambda m, x: m.norm(m.conv(x)) + x,
    "concatenation first": lambda m, x: torch.relu(torch.cat([m.conv(x), x], 1))[:, :4],
    "pooling first": lambda m, x: torch.relu(F.max_pool2d(m.conv(x), 2)),
    "reshape first": lambda m, x: torch.relu(m.conv(x).flatten(2)).view_as(x),
    "another layer first": lambda m, x: torch.relu(m.project(m.conv(x))),
    "two nonlinearities": lambda m, x: relu_and_tanh(m.conv(x)),
    "transposed first": lambda m, x: torch.relu(m.conv(x).transpose(2, 3)),
    "halved by glu": lambda m, x: torch.cat([F.glu(m.conv(x), 1)] * 2, 1),
}


@pytest.mark.parametrize("middle", NO_ACTIVATIONS.values(), ids=NO_ACTIVATIONS)
def test_a_layer_without_a_nonlinearity_of_its_own_is_not_a_source(middle):
    layer = found(middle)
    assert layer.activation is layer.nonlinearity is None
    assert (layer.not_source, layer.not_target) == (NO_ACTIVATION, None)


GATES = {
    "squeeze and excitation": lambda m, x: (
        x * torch.sigmoid(m.conv(torch.relu(m.project(x.mean((2, 3), keepdim=True)))))
    ),
    "hard sigmoid": lambda m, x: F.hardsigmoid(m.conv(x.mean((2, 3), keepdim=True))) * x,
    "spatial sigmoid": lambda m, x: x.mul(m.conv(x).sigmoid()),
    "broadcast without sigmoid": lambda m, x: x * torch.tanh(m.conv(x.mean((2, 3), keepdim=True))),
    "the gate is the layer itself": lambda m, x: x * m.conv(x.mean((2, 3), keepdim=True)),
    "in place": lambda m, x: torch.relu(x).mul_(torch.sigmoid(m.conv(x))),
}


@pytest.mark.parametrize("middle", GATES.values(), ids=GATES)
def test_a_layer_that_scales_another_branch_is_a_gate(middle):
    graph = graph_of(Net(middle), 4, 8, 8)
    layer = graph.layer("conv")
    assert (layer.not_source, layer.not_target) == (GATE, GATE)
    assert (graph.layer("first").not_source, graph.layer("last").depth) == (None, 2)  # k does not count gates
    assert not [pair for pair in graph.pairs if "conv" in {pair.source, pair.target}]


NO_GATES = {
    "sigmoid of itself": lambda m, x: swish(m.conv(x)),
    "scaled by a parameter": lambda m, x: torch.relu(m.conv(x) * torch.sigmoid(m.scale)),
    "product of two branches": lambda m, x: torch.relu(m.conv(x)) * torch.relu(m.project(x)),
    "product with a number": lambda m, x: torch.relu(m.conv(x) * 2),
}


@pytest.mark.parametrize("middle", NO_GATES.values(), ids=NO_GATES)
def test_a_product_that_is_not_a_gating_keeps_its_layer(middle):
    layer = found(middle)
    assert layer.not_target is None
    assert layer.depth == 2


class Attention(nn.Module):
    """Self-attention by hand: q, k and v from separate layers or from one."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.inner = nn.Linear(8, 8)
        self.q, self.k, self.v, self.proj = (nn.Linear(8, 8) for _ in range(4))
        self.qkv = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(4)
        self.mlp1, self.mlp2 = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.inner(x))
        n, t, _ = x.shape
        if self.kind == "packed":
            q, k, v = self.qkv(x).reshape(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (layer(x).view(n, t, 2, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.kind == "normed":
            q, k = self.norm(q) * 0.5, self.norm(k)
        if self.kind == "fused":
            y = F.scaled_dot_product_attention(q, k, v)
        elif self.kind == "einsum":
            y = torch.einsum("bhts,bhsd->bhtd", torch.einsum("bhtd,bhsd->bhts", q, k).softmax(-1), v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) / 2, dim=-1) @ v
        x = x + self.proj(y.transpose(1, 2).reshape(n, t, 8))
        return x + self.mlp2(F.gelu(self.mlp1(x)))


@pytest.mark.parametrize("kind", ["separate", "packed", "normed", "fused", "einsum"])
def test_attention_projections_take_no_part(kind):
    graph = graph_of(Attention(kind), 5, 8)
    projections = {"qkv"} if kind == "packed" else {"q", "k", "v"}
    refused = {layer.name: (layer.not_source, layer.not_target) for layer in graph.layers if layer.not_target}
    assert refused == dict.fromkeys(projections, (ATTENTION, ATTENTION)) | {"mlp2": (NO_ACTIVATION, HEAD)}
    assert {pair.target for pair in graph.pairs} == {"proj", "mlp1", "mlp2"}


def test_a_softmax_at_the_end_makes_no_attention_of_a_head():
    graph = graph_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(-1)), 4)
    assert [layer.not_target for layer in graph.layers] == [None, HEAD]


def test_multihead_attention_takes_no_part_but_its_weights_count():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(8, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.last = nn.Linear(8, 8)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.last(x + self.attention(x, x, x, need_weights=False)[0])

    graph = graph_of(Net(), 5, 8)
    assert [layer.name for layer in graph.layers] == ["first", "last"]
    shapes = {weight.name: (weight.shape, weight.layout) for weight in graph.weights}
    assert shapes == {
        "first.weight": ((8, 8), "linear"),
        "attention.in_proj_weight": ((24, 8), "linear"),
        "attention.out_proj.weight": ((8, 8), "linear"),
        "last.weight": ((8, 8), "linear"),
    }
    assert graph.reference_weights == 8 * 8 * 6
    assert {weight.uses for weight in graph.weights} == {5}


def test_heads_are_the_last_layers_of_every_branch():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.boxes, self.classes = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.deep = nn.Linear(2, 2)

        def forward(self, x):
            x = torch.relu(self.body(x))
            return self.boxes(x), self.deep(self.classes(x))

    heads = {layer.name for layer in graph_of(Two(), 4).layers if layer.not_target == HEAD}
    assert heads == {"boxes", "deep"}


def test_a_layer_that_the_output_does_not_need_is_dead():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = torch.relu(self.a(x))
            torch.relu(self.b(x))
            return torch.relu(self.c(x))

    graph = graph_of(Unused(), 4)
    assert (graph.layer("b").not_source, graph.layer("b").not_target) == (DEAD, DEAD)
    assert graph.layer("c").depth == 2
    assert [weight.name for weight in graph.weights] == ["a.weight", "b.weight", "c.weight"]


def test_a_shared_layer_is_not_a_target_but_may_be_a_source():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = torch.relu(self.b(torch.relu(self.a(x))))
            x = torch.relu(self.b(x))
            return self.c(torch.relu(F.linear(x, self.b.weight)))

    graph = graph_of(Shared(), 4)
    calls = [layer for layer in graph.layers if layer.name == "b"]
    assert [layer.address for layer in calls] == ["b#0", "b#1", "linear#0"]
    assert {layer.not_target for layer in calls} == {"its weight is shared by 3 calls"}
    assert {layer.not_source for layer in calls} == {None}
    assert [weight.uses for weight in graph.weights] == [1, 3, 1]


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_a_layer_is_shared_from_two_calls_on(calls):
    net = nn.Linear(4, 4)
    graph = graph_of(nn.Sequential(*[net, nn.ReLU()] * calls, nn.Linear(4, 2)), 4)
    reason = f"its weight is shared by {calls} calls" if calls > 1 else None
    assert [layer.not_target for layer in graph.layers] == [*[reason] * calls, HEAD]


def test_a_factor_that_depends_on_no_input_is_not_a_gate():
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.rand(1, 4))
            self.of_table, self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)) * torch.sigmoid(self.of_table(self.table)))

    layer = graph_of(Positions(), 4).layer("of_table")
    assert (layer.not_source, layer.not_target, layer.depth) == (None, None, 0)


def test_depth_counts_layers_on_the_longest_path():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.long = nn.Sequential(*[nn.Conv2d(3, 3, 1), nn.ReLU()] * 1, nn.Conv2d(3, 3, 1), nn.ReLU())
            self.short, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.last(self.long(x) + self.short(x))

    depths = {layer.name: layer.depth for layer in graph_of(Branches(), 3, 4, 4).layers}
    assert depths == {"long.0": 1, "long.2": 2, "short": 1, "last": 3}
