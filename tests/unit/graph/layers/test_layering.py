"""What a LayerGraph says of each layer: kind, shapes, activation function, shortcut, multiply-accumulates."""

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from n2nsurgery.graph.layers.layer_graph import LayerGraph, Nonlinearity
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace


def graph_of(model: nn.Module, *shape: int) -> LayerGraph:
    return layer_graph(trace(model, (torch.zeros(2, *shape),)))


def flops(model: nn.Module, *shape: int) -> int:
    """Floating point operations of one sample as torch counts them: two for each multiply-accumulate."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # torch does not count inside its fused attention
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(torch.zeros(1, *shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


class Functional(nn.Module):
    """Layers by functions, over parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.rand(6, 2, 3, 3))
        self.up = nn.Parameter(torch.rand(6, 4, 2, 2))
        self.matrix = nn.Parameter(torch.rand(5, 4))
        self.holder = nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel, None, (2, 1), padding=1, groups=2))
        x = F.leaky_relu(F.conv_transpose2d(input=x, weight=self.up, stride=2), 0.3)
        x = F.gelu(F.linear(x.mean((2, 3)), self.matrix), approximate="tanh")
        return F.linear(x, weight=self.holder.weight, bias=self.holder.bias)


class Tokens(nn.Module):
    """Linear layers over tokens, also where tokens were merged into the batch dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        x = F.gelu(self.a(x))
        x = F.gelu(self.b(x.reshape(n * t, 6))).reshape(n, t, 6)
        return self.c(x)


class OfPositions(nn.Module):
    """A small network over a constant table, whose cost does not grow with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.rand(9, 2))
        self.mlp = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.mlp(self.table).mean(0)


class Attention(nn.Module):
    """Attention modules of torch, whose weights no node of the graph shows; plus a decoder's cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cross = nn.MultiheadAttention(8, 2, batch_first=True)
        self.narrow = nn.MultiheadAttention(8, 2, kdim=4, vdim=4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.own(x, x, x)[0]
        x = self.cross(x, x[:, :3], x[:, :3])[0]
        return self.narrow(x, x[:, :3, :4], x[:, :3, :4])[0]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.aux = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(x)).mean((2, 3))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


NETS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "1d": (nn.Sequential(nn.Conv1d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv1d(4, 6, 5, dilation=2)), (3, 32)),
    "2d": (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, (1, 3), stride=(2, 1))), (3, 9, 7)),
    "3d": (nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.Conv3d(4, 2, (1, 2, 3))), (3, 4, 6, 5)),
    "grouped and depthwise": (
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8)),
        (4, 8, 8),
    ),
    "transposed": (
        nn.Sequential(
            nn.ConvTranspose1d(3, 4, 3, stride=2), nn.ReLU(), nn.ConvTranspose1d(4, 6, 4, stride=3, groups=2, padding=1)
        ),
        (3, 5),
    ),
    "transposed 2d and 3d": (
        nn.Sequential(
            nn.ConvTranspose2d(2, 3, 2, stride=2),
            nn.Unflatten(2, (2, 3)),
            nn.ConvTranspose3d(3, 2, (1, 2, 2), stride=2),
        ),
        (2, 3, 3),
    ),
    "linear": (nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 2, bias=False)), (3, 4)),
    "functions": (Functional(), (4, 6, 6)),
    "tokens": (Tokens(), (5, 8)),
    "positions": (OfPositions(), (4,)),
    "attention": (Attention(), (6, 8)),
    "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (6, 8)),
    "tied": (Tied(), (4,)),
    "auxiliary head": (Auxiliary(), (3, 6, 6)),
}


def attention_products(name: str) -> int:
    """Multiply-accumulates between activations, which torch counts too: queries with keys, scores with values."""
    lengths = {"attention": [(6, 6), (6, 3), (6, 3)], "encoder": [(6, 6)]}.get(name, [])
    return sum(2 * queries * keys * 8 for queries, keys in lengths)


@pytest.mark.parametrize("name", NETS)
def test_multiply_accumulates_are_half_of_the_flops_that_torch_counts(name):
    model, shape = NETS[name]
    # Not every version of torch counts the products inside of its fused encoder.
    products = {attention_products(name), 0} if name == "encoder" else {attention_products(name)}
    assert flops(model, *shape) in {2 * (graph_of(model, *shape).macs + counted) for counted in products}


@pytest.mark.parametrize("name", [name for name in NETS if name not in {"attention", "encoder"}])
def test_the_calls_of_the_layers_in_eval_mode_add_up_to_the_whole(name):
    graph = graph_of(NETS[name][0], *NETS[name][1])
    assert sum(layer.macs for layer in graph.layers if "eval" in layer.modes) == graph.macs


def row(layer) -> tuple:
    return (layer.operator, layer.in_channels, layer.out_channels, layer.groups, layer.kernel, layer.stride)


OPERATORS = {
    "1d": [("conv1d", 3, 4, 1, (3,), (2,)), ("conv1d", 4, 6, 1, (5,), (1,))],
    "2d": [("conv2d", 3, 4, 1, (3, 3), (1, 1)), ("conv2d", 4, 6, 1, (1, 3), (2, 1))],
    "3d": [("conv3d", 3, 4, 1, (3, 3, 3), (1, 1, 1)), ("conv3d", 4, 2, 1, (1, 2, 3), (1, 1, 1))],
    "grouped and depthwise": [("conv2d", 4, 8, 2, (3, 3), (1, 1)), ("conv2d", 8, 8, 8, (3, 3), (1, 1))],
    "transposed": [("conv_transpose1d", 3, 4, 1, (3,), (2,)), ("conv_transpose1d", 4, 6, 2, (4,), (3,))],
    "linear": [("linear", 12, 5, 1, (), ()), ("linear", 5, 2, 1, (), ())],
    "functions": [
        ("conv2d", 4, 6, 2, (3, 3), (2, 1)),
        ("conv_transpose2d", 6, 4, 1, (2, 2), (2, 2)),
        ("linear", 4, 5, 1, (), ()),
        ("linear", 5, 7, 1, (), ()),
    ],
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_kind_of_layer_is_described(name):
    assert [row(layer) for layer in graph_of(NETS[name][0], *NETS[name][1]).layers] == OPERATORS[name]


def test_shapes_are_those_of_one_sample():
    layers = graph_of(*NETS["functions"][:1], *NETS["functions"][1]).layers
    assert [layer.output.shape for layer in layers] == [(6, 3, 6), (4, 6, 12), (5,), (7,)]
    assert [layer.output.layout for layer in layers] == ["channels_first"] * 2 + ["channels_last"] * 2
    assert [layer.output.channels for layer in layers] == [6, 4, 5, 7]
    assert [layer.output.spatial for layer in layers] == [(3, 6), (6, 12), (), ()]
    (tokens, *_) = graph_of(Tokens(), 5, 8).layers
    assert (tokens.output.shape, tokens.output.channels, tokens.output.spatial) == ((5, 6), 6, (5,))


def test_layers_by_functions_are_named_by_their_parameters():
    graph = graph_of(*NETS["functions"][:1], *NETS["functions"][1])
    assert [layer.name for layer in graph.layers] == ["kernel", "up", "matrix", "holder"]
    assert [layer.weight for layer in graph.layers] == ["kernel", "up", "matrix", "holder.weight"]
    assert [layer.nonlinearity for layer in graph.layers] == [
        Nonlinearity(name="ReLU"),
        Nonlinearity(name="LeakyReLU", arguments=(("negative_slope", 0.3),)),
        Nonlinearity(name="GELU", arguments=(("approximate", "tanh"),)),
        None,
    ]
    assert graph.layer("holder").macs == 35
    with pytest.raises(KeyError):
        graph.layer("nothing")


class Swish(nn.Module):
    """An activation of somebody's own, written with functions."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()


class GELUTanh(nn.Module):
    """The tanh form of GELU under the name that timm and Transformers give it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")


NONLINEARITIES = [
    (nn.ReLU(inplace=True), "ReLU", {}),
    (nn.LeakyReLU(0.3), "LeakyReLU", {"negative_slope": 0.3}),
    (nn.ELU(0.7), "ELU", {"alpha": 0.7}),
    (nn.GELU("tanh"), "GELU", {"approximate": "tanh"}),
    (GELUTanh(), "GELU", {"approximate": "tanh"}),
    (nn.Hardtanh(-2.0, 3.0), "Hardtanh", {"min_val": -2.0, "max_val": 3.0}),
    (nn.ReLU6(), "ReLU6", {}),
    (nn.Softplus(2.0, 10.0), "Softplus", {"beta": 2.0, "threshold": 10.0}),
    (nn.Softshrink(0.1), "Softshrink", {"lambd": 0.1}),
    (nn.PReLU(), "PReLU", {"num_parameters": 1}),
    (nn.PReLU(2), "PReLU", {"num_parameters": 2}),
    (lambda x: F.prelu(x, torch.full((2,), 0.1)), "PReLU", {"num_parameters": 2}),
    (lambda x: F.prelu(x, torch.full((2,), 0.1) + x.mean()), "PReLU", {"num_parameters": 2}),
    (nn.Hardswish(), "Hardswish", {}),
    (nn.SiLU(), "SiLU", {}),
    (Swish(), "SiLU", {}),
    (lambda x: F.leaky_relu(x, 0.3), "LeakyReLU", {"negative_slope": 0.3}),
    (lambda x: F.leaky_relu(x, negative_slope=0.3, inplace=True), "LeakyReLU", {"negative_slope": 0.3}),
    (lambda x: F.elu(x, 0.7), "ELU", {"alpha": 0.7}),
    (lambda x: F.elu_(x, 0.7), "ELU", {"alpha": 0.7}),
    (lambda x: F.hardtanh(x, -2.0, 3.0), "Hardtanh", {"min_val": -2.0, "max_val": 3.0}),
    (lambda x: F.softplus(x, 2.0), "Softplus", {"beta": 2.0}),
    (F.gelu, "GELU", {}),
    (lambda x: x.relu_(), "ReLU", {}),
    (torch.tanh, "Tanh", {}),
    (lambda x: x * torch.sigmoid(x), "SiLU", {}),
    (lambda x: torch.sigmoid(x).mul_(x), "SiLU", {}),
    (lambda x: x * torch.sigmoid(1.702 * x), "QuickGELU", {}),
    (lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3))), "GELU", {"approximate": "tanh"}),
    (lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)), "GELU", {"approximate": "none"}),
    (lambda x: x * torch.tanh(F.softplus(x)), "Mish", {}),
    (lambda x: x * F.relu6(x + 3) / 6, "Hardswish", {}),
    (lambda x: x * torch.sigmoid(3 * x), "Composite", {}),
]


class Activated(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.conv, self.function, self.head = nn.Conv1d(2, 2, 1), function, nn.Conv1d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.conv(x)))


@pytest.mark.parametrize(("function", "name", "arguments"), NONLINEARITIES)
def test_the_activation_function_is_known_with_its_arguments(function, name, arguments):
    found = graph_of(Activated(function), 2, 5).layer("conv").nonlinearity
    assert (found.name, dict(found.arguments)) == (name, arguments)


@pytest.mark.parametrize(
    "function", [torch.square, torch.abs, lambda x: x.clamp(min=0), lambda x: torch.maximum(x, -x)]
)
def test_a_function_that_is_not_a_known_activation_is_none(function):
    assert graph_of(Activated(function), 2, 5).layer("conv").activation is None


class Block(nn.Module):
    """A residual block, with a projection where `project`."""

    def __init__(self, *, project: bool, swapped: bool = False, scaled: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.project = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) if project else nn.Identity()
        self.gamma = nn.Parameter(torch.rand(3, 1, 1)) if scaled else 1.0
        self.swapped = swapped

    def forward(self, x: Tensor) -> Tensor:
        y, x = self.norm(self.b(torch.relu(self.a(x)))), self.gamma * self.project(x)
        return torch.relu(x + y if self.swapped else y + x)


def stem_and(block: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), block, nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_an_identity_shortcut_is_found_where_it_begins(swapped, scaled):
    graph = graph_of(stem_and(Block(project=False, swapped=swapped, scaled=scaled)), 3, 8, 8)
    last = graph.layer("2.b")
    assert (last.join, last.shortcut, last.projected) == ("2.add#0", "1#0", False)
    assert last.activation.address == "2.relu#1"
    assert (graph.layer("2.a").join, graph.layer("2.a").shortcut) == (None, None)


def test_a_projection_and_its_block_meet_in_one_sum():
    graph = graph_of(stem_and(Block(project=True)), 3, 8, 8)
    last, projection = graph.layer("2.b"), graph.layer("2.project.0")
    assert last.join == projection.join == "2.add#0"
    assert (last.shortcut, last.projected) == ("1#0", True)
    assert (projection.shortcut, projection.projected) == ("2.relu#0", True)
    assert last.activation == projection.activation


def test_tied_weights_count_once():
    graph = graph_of(Tied(), 4)
    assert [layer.weight for layer in graph.layers] == ["first.weight", "first.weight", "head.weight"]
    assert [(w.name, w.layer, w.numel, w.uses) for w in graph.weights] == [
        ("first.weight", "first", 16, 2),
        ("head.weight", "head", 8, 1),
    ]
    assert graph.reference_weights == 24


def test_layers_of_one_mode_say_so():
    graph = graph_of(Auxiliary(), 3, 6, 6)
    assert {layer.name: layer.modes for layer in graph.layers} == {
        "body": ("train", "eval"),
        "head": ("train", "eval"),
        "aux": ("train",),
    }
    assert {weight.name: weight.uses for weight in graph.weights} == {
        "body.weight": 16,
        "head.weight": 1,
        "aux.weight": 0,
    }


def test_a_pair_that_exists_in_one_mode_only_is_refused():
    class Skipped(nn.Module):
        """Another activation in eval mode: the same layers, but not the same sums."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            for index, layer in enumerate(self.layers):
                x = layer(x) if index == 3 else torch.relu(layer(x)) if self.training else F.leaky_relu(layer(x))
            return x

    graph = graph_of(Skipped(), 4)
    assert {pair.source for pair in graph.pairs} == {"x"}
    refused = {(r.source, r.target) for r in graph.refusals if r.reason == "exists in one mode only"}
    assert refused == {("layers.0", "layers.2"), ("layers.0", "layers.3"), ("layers.1", "layers.3")}


def test_the_structure_is_that_of_the_code_and_not_of_the_weights():
    first, second = (graph_of(stem_and(Block(project=True)), 3, 8, 8) for _ in range(2))
    assert first == second
    assert first.fingerprint() == second.fingerprint()
    assert graph_of(stem_and(Block(project=False)), 3, 8, 8).structure != first.structure
    assert graph_of(stem_and(Block(project=True, swapped=True)), 3, 8, 8).structure != first.structure


def test_a_layer_graph_is_plain_values():
    graph = graph_of(Functional(), 4, 6, 6)
    document = json.loads(json.dumps(graph.to_json()))
    assert document["layers"][0]["name"] == "kernel"
    assert document["weights"][1]["layout"] == "conv_transpose"


def test_the_structure_knows_the_class_of_every_module():
    def net(activation: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Conv2d(4, 4, 3))

    image = (torch.zeros(2, 3, 8, 8),)
    relu, gelu = (layer_graph(trace(net(activation), image)).structure for activation in (nn.ReLU(), nn.GELU()))
    assert relu != gelu


def test_what_is_written_out_and_linear_is_not_a_activation():
    layer = graph_of(Activated(lambda x: x + 2 * x), 2, 5).layer("conv")
    assert (layer.nonlinearity, layer.not_source) == (None, "no activation follows it")
