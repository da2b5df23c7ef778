"""Questions asked of a traced graph."""

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.graph.layers.roles import Role
from n2nsurgery.graph.layers.view import GraphView
from n2nsurgery.graph.tracing.trace import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        unused = self.b(y)
        n = y.shape[0]
        merged = y.reshape(2 * n, 2)
        swapped = y.transpose(0, 1)
        total = y.sum(0)
        vector = y.sum(1)
        return [torch.relu(y), merged, swapped, total, vector, unused.dtype]


@pytest.fixture
def view() -> GraphView:
    module = trace(Net(), (torch.zeros(2, 3),)).module
    return GraphView(module.n2n_graph, module)


def test_users_are_those_of_the_data_and_not_of_the_shape(view):
    users = [view.role[user] for user in view.users(view.by_address["a#0"])]
    assert Role.META not in users
    assert len(users) == len(view.by_address["a#0"].users) - 1


def test_ancestors_are_all_that_a_value_depends_on(view):
    relu, layer, dead = (view.by_address[address] for address in ("relu#0", "a#0", "b#0"))
    assert view.ancestors[relu] == view.bits([layer, view.nodes[0]])
    assert view.contains(view.live, layer)
    assert view.contains(view.live, relu)
    assert not view.contains(view.ancestors[relu], dead)
    assert view.contains(view.inputs, view.nodes[0])
    assert view.inputs == view.ancestors[layer]


def test_weighted_nodes_come_in_execution_order(view):
    assert [node.target for node in view.weighted] == ["a", "b"]
    assert [view.operator(node) for node in view.weighted] == ["linear", "linear"]
    assert view.name(view.weighted[0]) == "Linear"


def test_a_signal_is_a_value_of_one_sample_or_nothing(view):
    signal = view.signal(view.by_address["a#0"], "channels_last")
    assert (signal.address, signal.shape, signal.channels, signal.spatial) == ("a#0", (4,), 4, ())
    for address in ("transpose#0", "sum#0", "sum#1"):  # swapped, summed, or without a feature
        assert view.signal(view.by_address[address], "channels_first") is None


def test_a_signal_has_as_many_rows_as_a_reshape_has_made_of_a_sample(view):
    signal = view.signal(view.by_address["reshape#0"], "channels_last")
    assert (signal.shape, signal.rows) == ((2,), 2)
    assert view.signal(view.by_address["a#0"], "channels_last").rows == 1
