"""Signatures, arguments, outputs and code at the edges of what a tracer can follow."""

import functools
import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils import weight_norm as old_weight_norm

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.model_inputs import bind_inputs, unwrapped
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.surgery.engines.gate import require_same

X = torch.linspace(-2, 2, 12).reshape(4, 3)


class Code(nn.Module):
    """A layer, and a forward that is the given function of the module and its arguments."""

    def __init__(self, code) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.code = code

    def forward(self, *args, **kwargs):
        return self.code(self, *args, **kwargs)


def passed_on(forward):
    @functools.wraps(forward)
    def inner(self, *args, **kwargs):
        return forward(self, *args, **kwargs)

    return inner


class Decorated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    @passed_on
    def forward(self, x, mask=None, scale=None, **kwargs):
        assert not kwargs or set(kwargs) == {"shift"}
        x = self.linear(x) if mask is None else self.linear(x) * mask
        x = x if scale is None else x * scale
        return x - kwargs["shift"] if kwargs else x


@pytest.mark.parametrize(
    "inputs",
    [{"x": X}, {"x": X, "mask": None}, {"x": X, "mask": X > 0}, {"x": X, "scale": 3.0}, {"x": X, "shift": X}],
    ids=["none", "None", "mask", "number", "keyword"],
)
def test_a_decorated_forward_gets_the_arguments_that_were_given_and_no_others(inputs):
    model = Decorated()
    traced = trace(model, inputs).module
    assert torch.equal(traced(**inputs), model(**inputs))
    require_same(model, traced, inputs)


@pytest.mark.parametrize("constant", [True, 2, 2.5, "sum", None])
def test_an_argument_without_a_tensor_is_a_constant_that_a_call_may_repeat_but_not_change(constant):
    class Net(nn.Module):
        def forward(self, x, how, y):
            return x + y if how else x - y

    traced = trace(Net(), (X, constant, X)).module
    assert torch.equal(traced(X, constant, 2 * X), Net()(X, constant, 2 * X))
    assert torch.equal(traced(X, y=2 * X), Net()(X, constant, 2 * X))
    with pytest.raises(UsageError, match=f"how was {constant!r} when .*Net was traced, so .* cannot take 'other'"):
        traced(X, "other", X)


def test_inputs_by_position_without_end_have_numbered_names():
    class Sum(nn.Module):
        def forward(self, first, *others, scale=1.0):
            return (first + sum(others)) * scale

    inputs = bind_inputs(Sum(), (X, 2 * X, 3 * X))
    assert list(inputs) == ["first", "others_0", "others_1"]
    assert list(bind_inputs(Sum(), {**inputs, "scale": 2.0})) == ["first", "others_0", "others_1", "scale"]
    traced = trace(Sum(), inputs).module
    assert torch.equal(traced(X, 2 * X, X), Sum()(X, 2 * X, X))
    assert torch.equal(traced(**inputs), Sum()(*inputs.values()))
    require_same(Sum(), traced, inputs)


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None


@dataclass
class DictOutput(dict):
    """A dictionary that is a dataclass, as Transformers return."""

    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None


@pytest.mark.parametrize("kind", [Output, DictOutput])
def test_an_output_that_is_a_dataclass_is_one_again(kind):
    model = Code(lambda self, x: kind(logits=self.linear(x), hidden=(x * 2,)))
    traced = trace(model, (X,)).module
    found = traced(X)
    assert type(found) is kind
    assert torch.equal(found.logits, model(X).logits)
    require_same(model, traced, bind_inputs(model, (X,)))


def test_an_object_that_no_graph_can_hold_leaves_its_layers_visible_and_the_graph_unusable():
    class Cache:
        def __init__(self, keys) -> None:
            self.keys = keys

    model = Code(lambda self, x: Output(logits=x, hidden=Cache(self.linear(x))))
    traced = trace(model, (X,))
    (layer,) = layer_graph(traced).layers
    assert layer.name == "linear"
    assert layer.not_target == "head (its output is the network's output)"
    with pytest.raises(TraceError, match=r"Code cannot be run in its place: .* objects that no graph can hold: Cache"):
        traced.module(X)


CODES = {
    "values of a maximum": lambda self, x: self.linear(x.max(1, keepdim=True).values + x),
    "values of topk": lambda self, x: self.linear(x.topk(3).values),
    "a tensor": lambda self, x: self.linear(x) * (2 if isinstance(x, Tensor) else 1),
    "a tuple": lambda self, x: self.linear(x) * (2 if isinstance(x.split(1, 1), tuple) else 1),
    "a module made inside": lambda self, x: nn.ReLU()(self.linear(x)),
    "its own sampling": lambda self, x: self.linear(x + torch.randn_like(x)),
    "a scalar": lambda self, x: self.linear(x) * x.new_tensor(2.0),
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_code_is_followed_to_the_bit(code):
    model = Code(code)
    traced = trace(model, (X,))
    assert [layer.name for layer in layer_graph(traced).layers] == ["linear"]
    require_same(model, traced.module, bind_inputs(model, (X,)))


def test_the_entries_of_a_dictionary_are_followed():
    model = Code(lambda self, x: self.linear(sum(x.values())) + sum(v for k, v in x.items() if k == "a"))
    given = {"a": X, "b": 2 * X}
    traced = trace(model, (given,)).module
    assert torch.equal(traced(given), model(given))


def test_inputs_without_dimensions_stay_as_they_are():
    model = Code(lambda self, x, t: self.linear(x) * t)
    traced = trace(model, (X, torch.tensor(3.0))).module
    assert torch.equal(traced(X, torch.tensor(2.0)), model(X, torch.tensor(2.0)))
    require_same(model, traced, bind_inputs(model, (X, torch.tensor(3.0))))


@pytest.mark.parametrize("name", ["graph", "graphs", "train_graph", "eval_graph", "original_class", "unusable"])
def test_a_submodule_may_have_any_name(name):
    model = Code(lambda self, x: getattr(self, name)(self.linear(x)))
    model.add_module(name, nn.Linear(3, 2))
    traced = trace(model, (X,))
    assert [layer.name for layer in layer_graph(traced).layers] == ["linear", name]
    require_same(model, traced.module, bind_inputs(model, (X,)))


def test_an_input_of_another_first_dimension_has_no_batch():
    def messages(self, x, edges):
        source, target = edges
        return torch.relu(self.linear(x)).index_add(0, target, x[source])

    model, edges = Code(messages), torch.tensor([[0, 1, 2], [1, 2, 3]])
    traced = trace(model, {"args_0": X, "args_1": edges}).module
    assert torch.equal(traced(X, edges), model(X, edges))


def test_a_mapping_that_refuses_changes_is_left_alone():
    class Frozen(dict):
        def clear(self) -> None:
            raise TypeError("frozen")

    model = Code(lambda self, x: self.linear(x) * self.settings["scale"])
    model.settings = Frozen(scale=2.0)
    assert torch.equal(trace(model, (X,)).module(X), model(X))


def test_train_mode_that_hides_weights_leaves_the_graph_of_eval_mode():
    class Drops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return x if self.training and random.random() < 0.5 else self.linear(x)  # noqa: S311

    traced = trace(nn.Sequential(Drops(), nn.ReLU(), nn.Linear(3, 3)), (X,))
    assert [layer.name for layer in layer_graph(traced).layers] == ["0.linear", "2"]
    assert traced.leaves == ()
    with pytest.raises(TraceError, match="train mode cannot be followed: Drops: random numbers"):
        traced.module(X)


def test_eval_mode_that_cannot_be_followed_leaves_the_graph_of_train_mode():
    model = Code(lambda self, x: self.linear(x) if self.training or x.sum() > 0 else x)
    traced = trace(model, (X,))
    assert [layer.name for layer in layer_graph(traced).layers] == ["linear"]
    with pytest.raises(TraceError, match="eval mode cannot be followed: Code cannot be traced: control flow"):
        traced.module(X)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, lambda m: nn.DataParallel(torch.compile(m))])
def test_the_wrappers_of_torch_are_taken_off(wrap):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    assert unwrapped(wrap(model)) is model
    assert list(trace(wrap(model), (X,)).module.state_dict()) == ["0.weight", "0.bias"]


def forgetful(model: nn.Module) -> nn.Module:
    model.last = model(X)
    return model


UNTRACEABLE = {
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(3), nn.ReLU()),
        "no values yet for '0.weight', '0.bias' .lazy.: call",
    ),
    "meta": (
        lambda: nn.Linear(3, 3, device="meta"),
        "no values for 'weight', 'bias' .device meta.: load its weights",
    ),
    "weight_norm": (lambda: old_weight_norm(nn.Linear(3, 3)), "computed from others.*: 'weight'. .*remove_weight_norm"),
    "prune": (lambda: prune.l1_unstructured(nn.Linear(3, 3), "weight", 0.5), "computed from others.*: 'weight'"),
    "kept": (lambda: forgetful(nn.Linear(3, 3)), "computed from others.*: 'last'.* kept to None"),
    "scripted": (lambda: torch.jit.script(nn.Linear(3, 3)), "Linear was made by torch.jit"),
    "jit.trace": (lambda: torch.jit.trace(nn.Linear(3, 3), X), "Linear was made by torch.jit"),
}


@pytest.mark.filterwarnings("ignore:.*(weight_norm|torch.jit).*deprecated")
@pytest.mark.parametrize("kind", UNTRACEABLE)
def test_what_no_tracing_can_follow_is_refused_with_what_to_do(kind):
    make, message = UNTRACEABLE[kind]
    with pytest.raises(TraceError, match=message):
        unwrapped(make())
