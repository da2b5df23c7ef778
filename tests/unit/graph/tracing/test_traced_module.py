"""A traced module behaves as every nn.Module: copies, casts, modes, state, compilation, edits of its graph."""

import copy

import pytest
import torch
from torch import nn

from n2nsurgery.graph.tracing.trace import trace


class Net(nn.Module):
    """A residual block with a buffer of its own and an auxiliary output in train mode: two graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.aux = nn.Linear(3, 2)
        self.register_buffer("shift", torch.ones(3, 1, 1))
        self.note = "plain attribute"

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x))) + x + self.shift
        return (y, self.aux(y.mean((2, 3)))) if self.training else y


@pytest.fixture
def model() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().eval()


@pytest.fixture
def traced(model):
    return trace(model, (torch.zeros(2, 3, 4, 4),)).module


X = torch.linspace(-1, 1, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4)


def test_names_are_those_of_the_original(model, traced):
    assert list(traced.state_dict()) == list(model.state_dict())
    assert [name for name, _ in traced.named_modules()] == [name for name, _ in model.named_modules()]
    assert (traced.note, traced.n2n_class.rpartition(".")[2]) == ("plain attribute", "Net")
    assert "traced from" in repr(traced)


def test_a_state_dict_of_another_loads_and_counts(traced):
    torch.manual_seed(1)
    other = Net().eval()
    assert not torch.equal(traced(X), other(X))
    traced.load_state_dict(other.state_dict())
    assert torch.equal(traced(X), other(X))


def test_a_copy_is_independent(traced):
    twin, before = copy.deepcopy(traced), traced(X)
    with torch.no_grad():
        twin.conv.weight.zero_()
        twin.shift.zero_()
    assert torch.equal(traced(X), before)
    assert not torch.equal(twin(X), before)
    nodes = [set(graph.nodes) for module in (traced, twin) for graph in module.n2n_graphs]
    assert all(not nodes[i] & nodes[j] for i in range(4) for j in range(i))


@pytest.mark.parametrize("training", [True, False])
def test_a_copy_has_the_mode_and_the_graphs_of_its_original(traced, training):
    twin = copy.deepcopy(traced.train(training))
    assert twin.training is training
    assert isinstance(twin(X), tuple) is training
    assert isinstance(twin.train(not training)(X), tuple) is not training
    assert [str(graph) for graph in twin.n2n_graphs] == [str(graph) for graph in traced.n2n_graphs]
    addresses = [[node.meta.get("address") for node in module.n2n_graph.nodes] for module in (traced, twin)]
    assert addresses[0] != addresses[1]  # the two stand in different modes
    assert [n.meta.get("address") for n in twin.train(training).n2n_graph.nodes] == addresses[0]


def test_an_edit_of_a_copy_s_graph_stays_in_the_copy(traced):
    twin, before = copy.deepcopy(traced), traced(X)
    relu = next(node for node in twin.n2n_graph.nodes if node.target is torch.relu)
    relu.target = torch.tanh
    assert torch.equal(twin(X), before)  # not before it is compiled
    twin.recompile()
    assert not torch.equal(twin(X), before)
    traced.recompile()
    assert torch.equal(traced(X), before)


def test_one_graph_stays_one_in_a_copy():
    twin = copy.deepcopy(trace(nn.Sequential(nn.Linear(3, 3)), (torch.zeros(2, 3),)).module)
    assert len(twin.n2n_graphs) == 1
    assert twin.n2n_train_graph is twin.n2n_eval_graph


@pytest.mark.parametrize("training", [True, False])
def test_torch_compile_returns_the_same(traced, training):
    traced.train(training)
    compiled = torch.compile(copy.deepcopy(traced), backend="eager", fullgraph=True)
    for batch in (3, 1, 2):
        expected, found = traced(X[:batch]), compiled(X[:batch])
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_the_module_follows_to(model, traced):
    assert torch.equal(traced.double()(X.double()), model.double()(X.double()))
    assert traced.to("meta")(X.double().to("meta")).device.type == "meta"


def test_gradients_are_those_of_the_original(model, traced):
    for module in (model, traced):
        module(X).square().sum().backward()
    pairs = zip(model.named_parameters(), traced.named_parameters(), strict=True)
    assert all(
        a[0] == b[0] and ((a[1].grad is b[1].grad is None) or torch.equal(a[1].grad, b[1].grad)) for a, b in pairs
    )
    assert traced.conv.weight.grad.abs().sum() > 0
