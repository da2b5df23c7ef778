"""Which parameters masks may prune, and why the others are left dense."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from n2nsurgery.core.errors import TraceError
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


def test_embeddings_recurrences_and_loose_matrices_are_kept_dense_with_a_reason():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.positions = nn.Parameter(torch.zeros(3, 4))
            self.lstm = nn.LSTM(4, 4, batch_first=True)
            self.bilinear = nn.Bilinear(4, 4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embedding(x) + self.positions
            return self.head(self.bilinear(self.lstm(x)[0], x))

    graph = graph_of(Net(), torch.zeros(2, 3, dtype=torch.long))
    assert [weight.name for weight in graph.weights] == ["head.weight"]
    assert kept_dense(graph) == {
        "embedding.weight", "positions", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "bilinear.weight"
    }  # fmt: skip


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


def test_a_fixed_filter_is_no_weight():
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


def test_a_weight_that_is_computed_first_is_kept_dense():
    class Standardized(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True))

    class Scaled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * 0.5

    model = nn.Sequential(Standardized(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    parametrize.register_parametrization(model[2], "weight", Scaled())
    graph = graph_of(model, torch.zeros(2, 3, 8, 8))
    assert [weight.name for weight in graph.weights] == ["0.weight", "4.weight"]  # the subclass standardizes its own
    assert kept_dense(graph) == {"2.parametrizations.weight.original"}


def test_a_model_with_weights_that_hooks_compute_is_refused_as_it_cannot_be_copied():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(model[0])
    with pytest.raises(TraceError, match="Sequential cannot be copied"):
        trace(model, (torch.zeros(2, 3),))
