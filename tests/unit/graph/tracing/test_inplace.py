"""In-place operations: the traced module computes the same, and every value that may be tapped keeps its value."""

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace

SHAPE = (4, 6)
X = torch.linspace(-1, 1, 3 * 4 * 6).reshape(3, *SHAPE)


torch.fx.wrap("clipped")  # stays one node


def clipped(x, bound, inplace=False):  # noqa: FBT002 - as in torch.nn.functional
    return x.clamp_(-bound, bound) if inplace else x.clamp(-bound, bound)


class Code(nn.Module):
    """A network whose forward is the given function of (module, input); it has layers to call."""

    def __init__(self, code) -> None:
        super().__init__()
        self.code = code
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.hard = nn.Hardtanh(-0.5, 0.5, inplace=True)

    def forward(self, x):
        return self.code(self, x)


class Recorded(fx.Interpreter):
    """Runs a graph and keeps what every node returned: the value itself, and a copy made at once."""

    def __init__(self, module) -> None:
        super().__init__(module, graph=module.n2n_graph, garbage_collect_values=False)
        self.seen: dict[fx.Node, tuple[torch.Tensor, torch.Tensor]] = {}

    def run_node(self, n):
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            self.seen[n] = (result, result.clone())
        return result


def changed_values(module) -> set[str]:
    """Addresses of the nodes whose value is no longer what it was when it was computed."""
    run = Recorded(module.eval())
    with torch.no_grad():
        run.run(X.clone())
    return {n.meta["address"] for n, (now, then) in run.seen.items() if not torch.equal(now, then) and n.op != "output"}


def marked(module) -> set[str]:
    return {node.meta["address"] for node in module.n2n_graph.nodes if node.meta.get("mutated")}


def module_in_place(m, x):
    y = m.conv(x)
    return m.relu(y) + y


def module_shared_by_calls(m, x):
    y = m.relu(m.conv(x))
    z = m.relu(m.norm(y))
    return y + z + m.hard(z)


def iadd_operator(m, x):
    y = m.conv(x)
    z = m.norm(y)
    y += z
    return y * z


def every_operator(m, x):
    y = m.conv(x)
    y += 1
    y -= x
    y *= 2
    y /= 3
    return y


def function_flag(m, x):
    y = m.conv(x)
    z = F.relu(y, inplace=True)
    return y + z


def positional_flag(m, x):
    y = m.conv(x)
    z = F.leaky_relu(y, 0.1, True)
    return y + z


def positional_flag_of_one_node(m, x):
    y = m.conv(x)
    z = clipped(y, 1, True)
    return y + z


def underscore_function(m, x):
    y = m.conv(x)
    z = torch.relu_(y)
    return y + z


def underscore_functional(m, x):
    y = m.conv(x)
    z = F.elu_(y, 0.5)
    return y + z


def underscore_method(m, x):
    y = m.conv(x)
    y.add_(1)
    y.mul_(x).clamp_(min=0)
    return y


def result_ignored(m, x):
    y = m.conv(x)
    m.relu(y)
    F.hardtanh(y, -1.0, 0.5, inplace=True)
    return y


def dropout_in_place(m, x):
    y = m.conv(x)
    return m.drop(y) + y


def residual_in_place(m, x):
    y = m.norm(m.conv(x))
    y += x
    return m.relu(y)


def input_in_place(m, x):
    return m.conv(x.mul_(2)) + x


def view_that_is_not_seen_later(m, x):
    y = m.conv(x)
    return m.relu(y.reshape(-1, 2, 2, 6).flatten(1, 2))


def transposed_attribute(m, x):
    y = m.conv(x)
    z = y.mT
    m.relu(y)
    return z


def identity_seen_later(m, x):
    y = m.conv(x)
    z = F.dropout(y, 0.5, training=False)
    m.relu(y)
    return z


def cast_to_the_same_type(m, x):
    y = m.conv(x)
    z = y.float()
    m.relu(y)
    return z


def contiguous_already(m, x):
    y = m.conv(x)
    z = y.contiguous()
    z.mul_(2)
    return y


FUNCTIONAL = [
    module_in_place,
    module_shared_by_calls,
    iadd_operator,
    every_operator,
    function_flag,
    positional_flag,
    positional_flag_of_one_node,
    underscore_function,
    underscore_functional,
    underscore_method,
    result_ignored,
    dropout_in_place,
    residual_in_place,
    input_in_place,
    view_that_is_not_seen_later,
    transposed_attribute,
    identity_seen_later,
    cast_to_the_same_type,
    contiguous_already,
]


@pytest.mark.parametrize("code", FUNCTIONAL, ids=lambda code: code.__name__)
def test_the_result_is_that_of_the_original_and_every_value_lasts(check, code):
    traced = check(Code(code), SHAPE).module
    assert changed_values(traced) == set()
    assert marked(traced) == set()


def view_seen_later(m, x):
    y = m.conv(x)
    flat = y.view(-1, 24)
    m.relu(y)
    return flat


def original_seen_after_its_view(m, x):
    y = m.conv(x)
    y.view(-1, 24).mul_(2)
    return y


def slice_seen_later(m, x):
    y = m.conv(x)
    y[:, :2].add_(1)
    return y


def parts_seen_later(m, x):
    y = m.conv(x)
    first, second = y.chunk(2, dim=1)
    F.relu(first, inplace=True)
    return torch.cat([second, y], 1)


def broadcast_view(m, x):
    y = m.conv(x)
    z = y.unsqueeze(1).expand(-1, 3, -1, -1)
    y.add_(1)
    return z


def diagonal_view(m, x):
    y = m.conv(x)
    y.diagonal(dim1=1, dim2=2).zero_()
    return y


def assigned_part(m, x):
    y = m.conv(x)
    y[:, 0] = 0
    return y


def output_argument(m, x):
    y = m.conv(x)
    torch.mul(y, 2, out=y)
    return y


def alias_in_eval_mode_only(m, x):
    y = m.conv(x)
    z = F.dropout(y, 0.5, training=m.training)
    m.relu(y)
    return z


def shared_module_refused_once(m, x):
    y = m.conv(x)
    flat = y.view(-1, 24)
    m.relu(y)
    return flat.view_as(x) + m.relu(m.norm(x))


REFUSED = [
    view_seen_later,
    original_seen_after_its_view,
    slice_seen_later,
    parts_seen_later,
    broadcast_view,
    diagonal_view,
    assigned_part,
    output_argument,
    alias_in_eval_mode_only,
    shared_module_refused_once,
]


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: code.__name__)
def test_where_an_alias_would_have_seen_it_the_operation_stays_and_its_values_are_marked(check, code):
    traced = check(Code(code), SHAPE).module
    changed = changed_values(traced)
    assert changed
    assert changed <= marked(traced)


def test_an_in_place_operation_inside_a_leaf_is_seen(check):
    class Leaf(nn.Module):
        """Starts with an activation in place, as pre-activation blocks do, and cannot be followed."""

        def forward(self, x):
            x = F.relu(x, inplace=True)
            return x * 2 if x.sum() > 0 else x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.leaf = nn.Conv1d(4, 4, 1), Leaf()

        def forward(self, x):
            y = torch.tanh(self.conv(x))
            return self.leaf(y) + y

    traced = check(Net(), SHAPE).module
    changed = changed_values(traced)
    assert changed == {"tanh#0"}
    assert changed <= marked(traced)


def test_graphs_of_different_structure_are_rewritten_alike(check):
    def code(m, x):
        y = m.conv(x)
        z = m.relu(y)
        y += 1
        return (m.norm(y) + z, z) if m.training else m.norm(y) + z

    traced = check(Code(code), SHAPE).module
    assert len(traced.n2n_graphs) == 2
    assert changed_values(traced) == marked(traced) == set()
    assert not [n for graph in traced.n2n_graphs for n in graph.nodes if n.meta.get("mutated") or "memory" in n.meta]


def test_updates_of_buffers_stay_in_place():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 4, 1)
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x):
            y = self.conv(x)
            self.mean.mul_(0.5).add_(y.detach().mean((0, 2)))
            return y - self.mean.view(-1, 1)

    model = Counting()
    traced = trace(model, (X,)).module
    assert torch.equal(traced.mean, torch.zeros(4))
    for _ in range(3):
        assert torch.equal(traced(X), model(X))
    assert torch.equal(traced.mean, model.mean)
    assert model.mean.abs().sum() > 0


def test_a_marked_activation_is_not_a_source():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv1d(4, 4, 1) for _ in range(4))

        def forward(self, x):
            y = torch.relu(self.layers[0](x))
            flat = y.view(-1, 24)
            y.mul_(2)
            z = torch.relu(self.layers[1](y))
            return torch.relu(self.layers[3](torch.relu(self.layers[2](z)))) + flat.view_as(y)

    graph = layer_graph(trace(Net(), (X,)))
    assert {(pair.source, pair.target) for pair in graph.pairs} == {("layers.1", "layers.3")}


def test_gradients_flow_as_in_the_original():
    model = Code(residual_in_place).eval()
    traced = trace(model, (X,)).module
    for module in (model, traced):
        module(X.clone()).square().sum().backward()
    assert torch.equal(model.conv.weight.grad, traced.conv.weight.grad)


def test_a_module_keeps_its_flag_where_one_of_its_calls_has_to_stay():
    traced = trace(Code(shared_module_refused_once), (X,)).module
    assert traced.relu.inplace is True
    assert trace(Code(module_shared_by_calls), (X,)).module.relu.inplace is False
