"""Tracing a whole model: what it leaves alone, what it reports, and what it refuses."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.graph.model_inputs import bind_inputs
from n2nsurgery.graph.tracing.trace import trace

IMAGE = (torch.zeros(2, 3, 8, 8),)


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2)
    )


def everything(module: nn.Module) -> dict[str, object]:
    """The whole state of a module tree, comparable: weights, buffers, modes and plain attributes."""
    state: dict[str, object] = {name: value.clone() for name, value in module.state_dict().items()}
    for path, child in module.named_modules():
        plain = {key: value for key, value in vars(child).items() if not key.startswith("_")}
        state |= {f"{path}:{key}": value for key, value in plain.items()}
    return state


def equal(first: dict[str, object], second: dict[str, object]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_original_is_left_untouched(training):
    model = small_net().train(training)
    model[3].eval()
    before, kept, parameters = everything(model), copy.deepcopy(model), list(model.parameters())
    traced = trace(model, IMAGE).module
    assert equal(everything(model), before)
    assert model[2].inplace is kept[2].inplace is True
    assert all(parameter is known for parameter, known in zip(model.parameters(), parameters, strict=True))
    assert not {id(p) for p in traced.parameters()} & {id(p) for p in model.parameters()}
    assert "n2n_train_graph" not in vars(model)


@pytest.mark.parametrize("training", [True, False])
def test_the_copy_has_the_mode_the_buffers_and_the_counters_of_the_original(training):
    model = small_net().train(training)
    model[1].num_batches_tracked += 7
    traced = trace(model, IMAGE).module
    assert traced.training is training
    assert {n: m.training for n, m in traced.named_modules()} == {n: m.training for n, m in model.named_modules()}
    assert list(traced.state_dict()) == list(model.state_dict())
    assert all(torch.equal(traced.state_dict()[name], value) for name, value in model.state_dict().items())


def test_tracing_draws_no_random_number(check):
    class Noisy(nn.Module):
        def forward(self, x):
            return F.dropout(x + torch.randn(3, 1, 1), 0.5, self.training)

    states = random.getstate(), torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002
    trace(nn.Sequential(Noisy(), nn.Dropout(0.2)), IMAGE)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state(legacy=False)["state"]["pos"] == states[2]  # noqa: NPY002
    check(Noisy(), (3, 2, 2))


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, lambda: torch.empty(1).uniform_().item()],
    ids=["python", "numpy", "torch in place"],
)
def test_a_module_that_draws_outside_the_graph_becomes_one_node(draw):
    class Drop(nn.Module):
        def forward(self, x):
            return x * (draw() > 0.5)

    (leaf,) = trace(nn.Sequential(nn.ReLU(), Drop()), IMAGE).leaves
    assert (leaf.class_name, leaf.paths) == ("Drop", ("1",))
    assert "random" in leaf.reason
    assert trace(Drop(), IMAGE).unfollowed.startswith("Drop cannot be traced: random numbers")


def test_what_modules_keep_between_calls_is_not_kept_from_tracing():
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = []
            self.last = None
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.seen.append(x)
            self.last = x
            self.count.add_(1)
            return x * 2

    traced = trace(nn.Sequential(Remembers()), IMAGE).module
    kept = traced.get_submodule("0")
    assert (kept.seen, kept.last, float(kept.count)) == ([], None, 0)
    assert torch.equal(copy.deepcopy(traced)(torch.ones(1, 3)), torch.full((1, 3), 2.0))


def test_a_leaf_that_keeps_what_it_computed_keeps_no_value_of_the_tracing():
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = None

        def forward(self, x):
            if self.table is None and x.sum() > -1:  # a look at the data: cannot be followed
                self.table = torch.arange(x.shape[1], dtype=x.dtype)
            return x + self.table

    traced = trace(nn.Sequential(Cache()), (torch.zeros(2, 3),))
    assert traced.leaves[0].class_name == "Cache"
    assert traced.module.get_submodule("0").table is None
    assert torch.equal(traced.module(torch.zeros(5, 3)), torch.arange(3.0).expand(5, 3))


def test_every_module_of_an_untraceable_class_becomes_a_leaf_and_is_reported_once(check):
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(x) if x.mean() > 0 else x

    traced = check(nn.Sequential(Gate(), nn.ReLU(), nn.Sequential(Gate())), (3, 4, 4))
    (leaf,) = traced.leaves
    assert (leaf.class_name, leaf.paths) == ("Gate", ("0", "2.0"))
    assert leaf.reason.startswith("control flow on the content of a tensor")
    assert __file__ in leaf.reason
    assert [node.target for node in traced.module.n2n_graph.nodes if node.op == "call_module"] == ["0", "1", "2.0"]


def test_a_leaf_found_in_one_mode_is_a_leaf_in_both(check):
    class OnlyInEval(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x) if self.training else self.inner(x, look=True)

    class Inner(nn.Module):
        def forward(self, x, *, look=False):
            return x * 2 if not look or x.sum() > 0 else x

    traced = check(OnlyInEval(), (3, 4, 4))
    assert [leaf.class_name for leaf in traced.leaves] == ["Inner"]
    assert all("inner" in [node.target for node in graph.nodes] for graph in traced.module.n2n_graphs)


def test_what_depends_on_the_data_of_a_leaf_is_not_a_fact():
    class Crop(nn.Module):
        def forward(self, x):
            return x[:, : int(x.max()) + 1]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.crop = Crop()

        def forward(self, x):
            cropped = self.crop(x)
            return cropped / cropped.shape[1]

    traced = trace(Net(), (torch.zeros(2, 4),)).module
    x = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    assert torch.equal(traced(x), Net()(x))
    assert traced(x).shape == (1, 3)


def test_an_untraceable_root_is_told_with_its_class_and_line():
    class Root(nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x
            return -x

    line = Root.forward.__code__.co_firstlineno + 1
    reason = trace(Root(), IMAGE).unfollowed
    assert reason.startswith("Root cannot be traced: control flow on the content")
    assert reason.endswith(f"{__file__}:{line})")


def test_a_module_that_fails_on_the_example_is_refused_with_its_path_and_line():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(7, 2))

        def forward(self, x):
            return self.body(x)

    line = Net.forward.__code__.co_firstlineno + 1
    with pytest.raises(TraceError, match=rf"Net, module 'body.1' cannot be traced: .*shapes.*{__file__}:{line}"):
        trace(Net(), IMAGE)


def test_a_model_that_cannot_be_copied_is_refused():
    model = nn.Linear(2, 2)
    model.handle = (index for index in range(3))
    with pytest.raises(TraceError, match="Linear cannot be copied"):
        trace(model, (torch.zeros(2, 2),))


class Signature(nn.Module):
    def forward(self, input, other=None, *, scale=2.0, **rest):  # noqa: A002 - lraspp of torchvision calls it so
        total = input * scale
        total = total if other is None else total + other
        return total - rest["shift"] if rest else total


def test_inputs_are_bound_by_the_signature():
    x, y = torch.zeros(2, 3), torch.ones(2, 3)
    assert list(bind_inputs(Signature(), (x,))) == ["input"]
    assert list(bind_inputs(Signature(), {"other": y, "input": x})) == ["input", "other"]
    with pytest.raises(UsageError, match=r"do not fit Signature.forward\(input, other=None.*too many positional"):
        bind_inputs(Signature(), (x, y, x))
    with pytest.raises(UsageError, match="missing a required argument: 'input'"):
        trace(Signature(), {"other": y})


def test_arguments_without_an_example_keep_their_defaults():
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    assert torch.equal(trace(Signature(), (x,)).module(x), x * 2)
    assert torch.equal(trace(Signature(), (x, y)).module(x, y), x * 2 + y)


def test_an_example_that_is_not_a_tensor_is_a_constant_of_the_trace():
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    traced = trace(Signature(), {"input": x, "other": y, "scale": 3.0}).module
    assert torch.equal(traced(input=x, other=y), x * 3 + y)
    with pytest.raises(UsageError, match=r"scale was 3\.0 when"):  # it is not silently ignored
        traced(input=x, other=y, scale=4.0)


def test_several_inputs_and_nested_outputs_are_traced(check):
    class Two(nn.Module):
        def forward(self, image, *vectors):
            total = sum(vectors)
            return {"sum": image.mean((2, 3)) + total, "parts": [image, (total, None)], "rank": image.dim()}

    check(Two(), (3, 4, 4), (3,), (3,))


def test_a_dictionary_of_inputs_is_looked_into():
    class Batch(nn.Module):
        def forward(self, batch):
            total = sum(batch[name] for name in batch)
            return total * batch["scale"] if "scale" in batch else total

    def example(size):
        return {"a": torch.randn(size, 3), "b": torch.randn(size, 3)}

    traced, batch = trace(Batch(), (example(2),)).module, example(5)
    assert torch.equal(traced(batch), Batch()(batch))


def test_sparse_inputs_have_no_memory_to_share():
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("edges", torch.eye(3).to_sparse())

        def forward(self, x):
            return torch.sparse.mm(self.edges, x.T).T

    x = torch.randn(5, 3)
    assert torch.equal(trace(Graph(), (x[:2],)).module(x), Graph()(x))


def test_tensors_made_on_the_fly_follow_the_model_and_stay_out_of_its_state():
    class Constant(nn.Module):
        def forward(self, x):
            return x * torch.tensor([1.0, 2.0, 3.0]) + torch.arange(3)

    model = nn.Sequential(nn.Linear(3, 3), Constant())
    traced = trace(model, (torch.zeros(2, 3),)).module
    assert list(traced.state_dict()) == list(model.state_dict())
    constants = {name: buffer for name, buffer in traced.named_buffers() if "constant" in name}
    assert {buffer.dtype for buffer in constants.values()} == {torch.float32, torch.int64}
    moved = traced.to("meta")
    assert all(buffer.device.type == "meta" for buffer in moved.buffers())
    assert moved(torch.zeros(4, 3, device="meta")).shape == (4, 3)


def test_hooks_of_leaves_run_in_the_traced_module_and_saw_no_real_input_before(check):
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU()))
    model[0].register_forward_hook(lambda _module, _args, output: output * 2)
    model[0].register_forward_pre_hook(lambda _module, args: (args[0] + 1,))
    check(model, (3,))


def test_hooks_of_the_root_run_in_the_traced_module():
    model = nn.Sequential(nn.Linear(3, 3))
    model.register_forward_hook(lambda _module, _args, output: output * 2)
    traced, x = trace(model, (torch.zeros(2, 3),)).module, torch.randn(4, 3)
    assert torch.equal(traced(x), model(x))
    assert torch.equal(model(x), 2 * model[0](x))


def test_hooks_of_containers_are_traced_with_their_code(check):
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    model[0].register_forward_hook(lambda _module, _args, output: output * 2)
    check(model, (3,))


def test_a_module_called_several_times_is_one_module_with_several_addresses(check):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.linear(self.relu(self.linear(x))))

    graph = check(Twice(), (3,)).module.n2n_graph
    addresses = [node.meta.get("address") for node in graph.nodes]
    assert addresses[1:-1] == ["linear#0", "relu#0", "linear#1", "relu#1"]


def test_addresses_name_the_module_that_makes_the_call(check):
    class Inner(nn.Module):
        def forward(self, x):
            return F.relu(x + 1) + F.relu(x)

    graph = check(nn.Sequential(Inner(), Inner()), (3,)).module.n2n_graph
    called = [node.meta["address"] for node in graph.nodes if node.op == "call_function"]
    assert called[:4] == ["0.add#0", "0.relu#0", "0.relu#1", "0.add#1"]
    assert called[4:] == [address.replace("0.", "1.", 1) for address in called[:4]]


def test_a_trace_holds_no_tensors_and_no_tracer():
    graph = trace(small_net(), IMAGE).module.n2n_graph
    assert graph._tracer_cls is None
    assert {key for node in graph.nodes for key in node.meta} <= {
        "address",
        "module",
        "shapes",
        "complex",
        "mutated",
        "overwritten",
        "order",
        "inside",
        "returned_by",
        "given_to",
        "nn_module_stack",
    }
    assert not [node for node in graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_type_is_traced_as_it_is(dtype):
    model = small_net().to(dtype).eval()
    traced = trace(model, (torch.zeros(2, 3, 8, 8, dtype=dtype),)).module
    x = torch.randn(3, 3, 8, 8).to(dtype)
    assert torch.equal(traced(x), model(x))
    assert traced(x).dtype is dtype
