"""Train and eval mode: literal flags become reads of the caller's flag, other differences two graphs."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from n2nsurgery.graph.tracing.trace import trace

torch.fx.wrap("configured_dropout")  # stays one node
X = torch.linspace(-1, 1, 5 * 8).reshape(5, 8)
EXAMPLE = (torch.zeros(2, 8),)


def seeded(module: nn.Module, x: torch.Tensor = X) -> torch.Tensor:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        return module(x)


def configured_dropout(x, options):
    return F.dropout(x, *options["dropout"])


class Dropped(nn.Module):
    """Dropout by a function, which fx alone would trace with the literal `training=True`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return F.dropout(self.linear(x), 0.5, training=self.training)


class Positional(Dropped):
    def forward(self, x):
        return F.dropout(self.linear(x), 0.5, self.training)


class Whitened(Dropped):
    """Batch normalization by a function, over buffers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("var", torch.ones(8))

    def forward(self, x):
        return F.batch_norm(self.linear(x), self.mean, self.var, training=self.training)


@pytest.mark.parametrize("kind", [Dropped, Positional, Whitened])
def test_one_graph_serves_both_modes(check, kind):
    model = nn.Sequential(kind(), nn.ReLU(), kind())
    traced = check(model, (8,), batches=(2, 5)).module
    assert len(traced.n2n_graphs) == 1
    flags = [node.target for node in traced.n2n_graph.nodes if str(node.target).endswith("training")]
    assert flags == ["0.training", "2.training"]


@pytest.mark.parametrize("kind", [Dropped, Positional])
def test_a_submodule_set_to_eval_alone_is_in_eval_mode(kind):
    model = nn.Sequential(kind(), nn.ReLU(), kind()).train()
    traced = trace(model, EXAMPLE).module
    both_dropped = seeded(traced)
    for module in (model, traced):
        module.get_submodule("0").eval()
    assert torch.equal(seeded(traced), seeded(model))
    assert not torch.equal(seeded(traced), both_dropped)
    model[2].eval()
    traced.get_submodule("2").eval()
    assert torch.equal(traced(X), model(X))


def test_the_flag_is_that_of_the_module_that_made_the_call():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x):
            return F.dropout(self.inner(x), training=self.training)

    model = nn.Sequential(Outer()).train()
    traced = trace(model, EXAMPLE).module
    for module in (model, traced):
        module.get_submodule("0.inner").eval()  # the dropout does not belong to it
    assert torch.equal(seeded(traced), seeded(model))
    assert (seeded(traced) == 0).any()


def test_a_flag_given_to_a_leaf_is_that_of_its_caller():
    class Leaf(nn.Module):
        def forward(self, x, training):
            return F.dropout(x, training=training and self.training is not None)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leaf = Leaf()

        def forward(self, x):
            return self.leaf(x, self.training)

    model = Outer().train()
    traced = trace(model, EXAMPLE).module
    assert [node.target for node in traced.n2n_graph.nodes if node.op == "get_attr"] == ["training"]
    for module in (model, traced):
        module.leaf.eval()
    assert torch.equal(seeded(traced), seeded(model))
    assert (seeded(traced) == 0).any()


def test_flags_inside_nested_arguments_are_read_too():
    class Net(nn.Module):
        def forward(self, x):
            return configured_dropout(x, {"dropout": [0.5, self.training]})

    model = Net().train()
    traced = trace(model, EXAMPLE).module
    assert len(traced.n2n_graphs) == 1
    assert torch.equal(seeded(traced), seeded(model))
    assert torch.equal(traced.eval()(X), X)


class Auxiliary(nn.Module):
    """A second head in train mode, as in GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 3)
        self.aux = nn.Linear(8, 3)

    def forward(self, x):
        x = self.drop(torch.relu(self.stem(x)))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("start", [True, False])
def test_graphs_of_different_structure_are_swapped_by_train_and_eval(start, copied):
    model = Auxiliary().train(start)
    traced = trace(model, EXAMPLE).module
    traced = copy.deepcopy(traced) if copied else traced
    assert len(traced.n2n_graphs) == 2
    assert traced.training is start
    for training in (start, not start, start):
        expected, found = seeded(model.train(training)), seeded(traced.train(training))
        assert isinstance(found, tuple) is training
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_both_graphs_share_their_modules_and_addresses():
    traced = trace(Auxiliary(), EXAMPLE).module
    in_train, in_eval = ({n.meta.get("address"): n for n in graph.nodes} for graph in traced.n2n_graphs)
    assert in_train.keys() - in_eval.keys() == {"aux#0"}
    assert in_eval.keys() < in_train.keys()


@pytest.mark.parametrize(
    "rate", [lambda m: 0.5 if m.training else 0.0, lambda m: 1 - 0.5 * m.training], ids=["choice", "arithmetic"]
)
def test_a_number_that_differs_between_the_modes_makes_two_graphs(rate):
    class Net(nn.Module):
        def forward(self, x):
            return x * rate(self)

    traced = trace(Net(), EXAMPLE).module
    assert len(traced.n2n_graphs) == 2
    assert all(torch.equal(traced.train(mode)(X), Net().train(mode)(X)) for mode in (True, False))


def test_a_flag_that_is_the_negation_of_training_makes_two_graphs(check):
    class Net(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, training=not self.training)

    assert len(check(Net(), (8,)).module.n2n_graphs) == 2


def test_an_argument_that_is_true_in_both_modes_is_left_alone(check):
    class Net(nn.Module):
        def forward(self, x):
            return F.dropout(x.sum(1, keepdim=True), 0.5, training=True)  # dropout in eval mode, on purpose

    traced = check(Net(), (8,)).module
    assert [node.op for node in traced.n2n_graph.nodes].count("get_attr") == 0


def test_different_constants_in_the_two_modes_make_two_graphs(check):
    class Net(nn.Module):
        def forward(self, x):
            return x * torch.tensor([1.0, 2.0] if self.training else [1.0, 3.0]).repeat(4)

    assert len(check(Net(), (8,)).module.n2n_graphs) == 2


def test_equal_constants_in_the_two_modes_make_one_graph_with_one_constant(check):
    class Net(nn.Module):
        def forward(self, x):
            return F.dropout(x * torch.tensor([1.0, 2.0]).repeat(4), training=self.training)

    traced = check(Net(), (8,)).module
    assert len(traced.n2n_graphs) == 1
    assert [name for name, _ in traced.named_buffers()] == ["_tensor_constant1"]  # that of train mode


def test_a_custom_drop_path_stays_one_node_and_reads_its_own_flag(check):
    class DropPath(nn.Module):
        def forward(self, x):
            if not self.training:
                return x
            return x * (torch.rand(x.shape[0], 1) > 0.5)

    traced = check(nn.Sequential(nn.Linear(8, 8), DropPath()), (8,), batches=(4, 5)).module
    assert len(traced.n2n_graphs) == 1
    assert [node.target for node in traced.n2n_graph.nodes if node.op == "call_module"] == ["0", "1"]
