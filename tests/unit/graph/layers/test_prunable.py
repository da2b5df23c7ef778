"""Which parameters masks may prune, and why the others are left dense."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.graph.layers.layer_graph import LayerGraph
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace

NOT_A_LAYER = "not a weight of a conv or linear layer: kept dense, not counted"


def graph_of(model: nn.Module, *inputs: Tensor) -> LayerGraph:
    return layer_graph(trace(model, inputs))


def kept_dense(graph: LayerGraph) -> set[str]:
    return {refusal.source for refusal in graph.refusals if refusal.reason == NOT_A_LAYER}


def test_weights_come_in_the_order_of_the_parameters_and_only_matrices_count():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2)
            self.first = nn.Conv1d(3, 4, 3)
            self.up = nn.ConvTranspose1d(4, 4, 2, groups=2)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.up(self.norm(self.first(x)))).mean(-1))

    graph = graph_of(Net(), torch.zeros(2, 3, 8))
    assert [(w.name, w.layer, w.layout, w.shape, w.groups) for w in graph.weights] == [
        ("last.weight", "last", "linear", (2, 4), 1),
        ("first.weight", "first", "conv", (4, 3, 3), 1),
        ("up.weight", "up", "conv_transpose", (4, 2, 2), 2),
    ]
    assert graph.reference_weights == 8 + 36 + 16
    assert kept_dense(graph) == set()


def test_embeddings_and_loose_matrices_are_kept_dense_with_a_reason():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.table = nn.Parameter(torch.zeros(10, 4))
            self.positions = nn.Parameter(torch.zeros(3, 4))
            self.biases = nn.Parameter(torch.zeros(5, 4))
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            near = self.biases[torch.tensor([0, 2, 4])]  # rows looked up, then multiplied with
            found = self.embedding(x) + F.embedding(x, self.table) + self.positions
            return self.head(found) + (found @ near.t()).sum(-1, keepdim=True)

    graph = graph_of(Net(), torch.zeros(2, 3, dtype=torch.long))
    assert [weight.name for weight in graph.weights] == ["head.weight"]
    table = "an embedding table: kept dense, not counted"
    assert [(dense.name, dense.numel, dense.reason) for dense in graph.left] == [
        ("table", 40, table),
        ("positions", 12, NOT_A_LAYER),
        ("biases", 20, NOT_A_LAYER),
        ("embedding.weight", 40, table),
    ]
    assert {dense.name for dense in graph.left} <= {refusal.source for refusal in graph.refusals if not refusal.target}


def test_a_head_that_is_tied_to_an_embedding_stays_dense_with_it():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.middle = nn.Linear(4, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.middle(self.embedding(x))))

    graph = graph_of(Net(), torch.zeros(2, 3, dtype=torch.long))
    assert [weight.name for weight in graph.weights] == ["middle.weight"]
    assert [layer.name for layer in graph.layers] == ["middle", "head"]
    (left,) = graph.left
    assert left.reason == ("an embedding table, tied to 'head', which stays dense with it: kept dense, not counted")


def product(name: str, shape: tuple[int, ...], multiply) -> nn.Module:
    """A network of one parameter `name`, which `multiply` uses."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

        def forward(self, x: Tensor) -> Tensor:
            return multiply(x, getattr(self, name))

    return Product()


PRODUCTS = {
    "x @ w": ((4, 5), lambda x, w: x @ w, "matrix", 3),
    "x @ w.T": ((5, 4), lambda x, w: x @ w.T, "linear", 3),
    "w @ x.mT": ((5, 4), lambda x, w: w @ x.mT, "linear", 3),
    "linear": ((5, 4), F.linear, "linear", 3),
    "linear of a part": ((10, 4), lambda x, w: F.linear(x, w.chunk(2)[1]), "linear", 1),
    "addmm": ((4, 5), lambda x, w: torch.addmm(x.new_zeros(5), x.flatten(0, 1), w), "matrix", 3),
    "einsum": ((4, 5), lambda x, w: torch.einsum("bni,io->bno", x, w), "matrix", 3),
    "einsum without an arrow": ((5, 4), lambda x, w: torch.einsum("bni,oi", x, w), "linear", 3),
    "einsum of heads": ((2, 4, 5), lambda x, w: torch.einsum("bni,hio->bhno", x, w), "matrix_stack", 3),
    "einsum in a batch": ((3, 4, 5), lambda x, w: torch.einsum("bni,nio->bno", x, w), "matrix_stack", 1),
    "einsum into heads": ((4, 2, 5), lambda x, w: torch.einsum("bni,iho->bnho", x, w), "input_first", 3),
    "einsum of a view": (
        (4, 2, 5),
        lambda x, w: torch.einsum("bni,hoi->bnho", x, w.permute(1, 2, 0)),
        "input_first",
        3,
    ),
    "einsum to heads": ((2, 5, 4), lambda x, w: torch.einsum("bni,hoi->bnho", x, w), "linear", 3),
    "einsum over heads": (
        (2, 2, 5),
        lambda x, w: torch.einsum("bnhi,hio->bno", x.unflatten(2, (2, 2)), w),
        "matrix",
        3,
    ),
    "einsum of parts": ((5, 2, 2), lambda x, w: torch.einsum("bnhi,ohi->bno", x.unflatten(2, (2, 2)), w), "conv", 3),
    "experts": ((2, 5, 4), lambda x, w: sum(F.linear(x, w[i]) for i in range(2)), "linear_stack", 3),
    "bmm": ((3, 4, 5), lambda x, w: torch.bmm(x.transpose(0, 1), w), "matrix_stack", 1),
}


@pytest.mark.parametrize(("shape", "multiply", "layout", "uses"), PRODUCTS.values(), ids=PRODUCTS)
def test_a_parameter_that_inputs_are_multiplied_with_is_a_weight(shape, multiply, layout, uses):
    (weight,) = graph_of(product("kernel", shape, multiply), torch.zeros(2, 3, 4)).weights
    assert (weight.name, weight.layer, weight.shape) == ("kernel", "kernel", shape)
    assert weight.layout == layout
    assert weight.groups == (shape[0] if layout.endswith("stack") else 1)
    assert weight.uses == uses


@pytest.mark.parametrize(
    ("layer", "names", "uses"),
    [
        (nn.LSTM(4, 5, batch_first=True), ["0.weight_ih_l0", "0.weight_hh_l0"], 3),
        (nn.GRU(4, 5, num_layers=2), ["0.weight_ih_l0", "0.weight_hh_l0", "0.weight_ih_l1", "0.weight_hh_l1"], 3),
        (nn.RNN(4, 5), ["0.weight_ih_l0", "0.weight_hh_l0"], 3),
    ],
)
def test_the_matrices_of_recurrent_layers_are_weights(layer, names, uses):
    graph = graph_of(nn.Sequential(layer), torch.zeros(2, 3, 4))
    assert [weight.name for weight in graph.weights] == names
    assert {(weight.layout, weight.uses) for weight in graph.weights} == {("linear", uses)}
    assert graph.left == ()


def test_a_bilinear_layer_has_a_channel_for_each_slice():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bilinear = nn.Bilinear(4, 4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.bilinear(x, x)

    (weight,) = graph_of(Net(), torch.zeros(2, 3, 4)).weights
    assert (weight.layer, weight.layout, weight.shape, weight.uses) == ("bilinear", "conv", (5, 4, 4), 3)


def test_a_matrix_product_is_a_layer_with_its_activation():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(6, 5))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.first) @ self.second

    first, second = graph_of(Net(), torch.zeros(2, 4)).layers
    assert (first.name, first.operator, first.layout) == ("first", "linear", "matrix")
    assert (first.in_channels, first.out_channels, first.macs) == (4, 6, 24)
    assert first.nonlinearity.name == "ReLU"
    assert (second.name, second.in_channels, second.out_channels) == ("second", 6, 5)


def test_the_conv1d_of_transformers_is_a_layer():
    layers = pytest.importorskip("transformers.pytorch_utils")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = layers.Conv1D(6, 4)
            self.out = layers.Conv1D(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            assert not self.training or x.dim() == 3  # GPT-2 asks for gradient checkpointing here
            return self.out(F.gelu(self.fc(x)))

    graph = graph_of(nn.Sequential(Net()), torch.zeros(2, 3, 4))
    assert [(layer.name, layer.in_channels, layer.out_channels) for layer in graph.layers] == [
        ("0.fc", 4, 6),
        ("0.out", 6, 4),
    ]
    assert graph.layers[0].activation.shape == (3, 6)
    assert [(w.name, w.layout, w.shape, w.uses) for w in graph.weights] == [
        ("0.fc.weight", "matrix", (4, 6), 3),
        ("0.out.weight", "matrix", (6, 4), 3),
    ]


def test_weights_inside_a_module_that_cannot_be_followed_count_with_their_uses():
    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up, self.linear = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 2), nn.Linear(2, 5)

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 1e9:
                return self.linear(x)
            return self.linear(self.up(self.conv(x)).mean((2, 3)))

    graph = graph_of(nn.Sequential(Opaque(), nn.ReLU(), nn.Linear(5, 2)), torch.zeros(2, 3, 8, 8))
    assert [layer.name for layer in graph.layers] == ["2"]
    assert [(w.name, w.layer, w.layout, w.uses) for w in graph.weights] == [
        ("0.conv.weight", "0.conv", "conv", 36),
        ("0.up.weight", "0.up", "conv_transpose", 36),
        ("0.linear.weight", "0.linear", "linear", 1),
        ("2.weight", "2", "linear", 1),
    ]


def test_a_layer_that_is_never_called_counts_without_uses():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.spare = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    graph = graph_of(Net(), torch.zeros(2, 4))
    assert [(weight.name, weight.uses) for weight in graph.weights] == [("head.weight", 1), ("spare.weight", 0)]
    assert graph.macs == 8


def test_attention_with_separate_projections_counts_each_of_them():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x[..., :4], x[..., :6])[0]

    graph = graph_of(Net(), torch.zeros(2, 3, 8))
    assert [(weight.name, weight.layer) for weight in graph.weights] == [
        ("attention.q_proj_weight", "attention.q_proj"),
        ("attention.k_proj_weight", "attention.k_proj"),
        ("attention.v_proj_weight", "attention.v_proj"),
        ("attention.out_proj.weight", "attention.out_proj"),
    ]


def test_a_fixed_filter_is_not_a_weight():
    class Blur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)
            self.register_buffer("filter", torch.full((3, 1, 3, 3), 1 / 9))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.conv2d(torch.relu(self.conv(x)), self.filter, padding=1, groups=3))

    graph = graph_of(Blur(), torch.zeros(2, 3, 8, 8))
    assert [layer.name for layer in graph.layers] == ["conv", "head"]
    assert [weight.name for weight in graph.weights] == ["conv.weight", "head.weight"]
