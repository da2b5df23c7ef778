"""Laws of tracing: the traced module computes what the original does, bit for bit, in both modes, for any batch."""

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from n2nsurgery.graph.layers.layer_finder import HEAD
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import Trace, trace

# -- the law ----------------------------------------------------------------------------------------------------------


def run(module: nn.Module, *inputs: Tensor, training: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and buffers after one call in the given mode, with its randomness seeded."""
    module.train(training)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        return [
            value.clone() for value in tree_leaves(module(*(x.clone() for x in inputs))) if isinstance(value, Tensor)
        ], [buffer.clone() for buffer in module.state_dict().values()]


def hold_equal(model: nn.Module, traced: nn.Module, *inputs: Tensor) -> None:
    """Assert that both return and remember the same in train mode, and then in eval mode."""
    for training in (True, False):
        expected, found = (run(module, *inputs, training=training) for module in (model, traced))
        assert len(expected[0]) == len(found[0])
        assert all(torch.equal(a, b) for a, b in zip(expected[0], found[0], strict=True)), f"{training=}"
        assert all(torch.equal(a, b) for a, b in zip(expected[1], found[1], strict=True)), f"state, {training=}"


def visible_fraction(traced: Trace) -> float:
    """The share of the weights (parameters of two or more dimensions) that the nodes of the graphs account for.

    A weight is accounted for where a weighted layer uses it, or where a node reads it.
    """
    module = traced.module
    graph = layer_graph(traced)
    used = {weight.name for weight in graph.weights if weight.uses} | {layer.weight for layer in graph.layers}
    for node in (node for code in module.n2n_graphs for node in code.nodes):
        if node.op == "get_attr":
            used.add(str(node.target))
        elif node.op == "call_module":
            own = module.get_submodule(str(node.target)).named_parameters(recurse=False)
            used |= {f"{node.target}.{name}" for name, _ in own}
    opaque = tuple(f"{path}." for leaf in traced.leaves for path in leaf.paths)
    sizes = {n: p.numel() for n, p in module.named_parameters() if p.dim() > 1}
    seen = sum(size for name, size in sizes.items() if name in used and not name.startswith(opaque))
    return seen / max(1, sum(sizes.values()))


# -- networks of torchvision ------------------------------------------------------------------------------------------

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (models.resnet18, (3, 32, 32)),
    "densenet121": (models.densenet121, (3, 32, 32)),
    "googlenet": (lambda: models.googlenet(init_weights=False), (3, 64, 64)),
    "squeezenet1_1": (models.squeezenet1_1, (3, 32, 32)),
    "shufflenet_v2_x1_0": (models.shufflenet_v2_x1_0, (3, 32, 32)),
    "mobilenet_v2": (models.mobilenet_v2, (3, 32, 32)),
    "mobilenet_v3_large": (models.mobilenet_v3_large, (3, 32, 32)),
    "mnasnet0_5": (models.mnasnet0_5, (3, 32, 32)),
    "efficientnet_b0": (models.efficientnet_b0, (3, 32, 32)),
    "regnet_y_400mf": (models.regnet_y_400mf, (3, 32, 32)),
    "convnext_tiny": (models.convnext_tiny, (3, 32, 32)),
    "swin_t": (models.swin_t, (3, 32, 32)),
    "vit_b_16": (lambda: models.vit_b_16(image_size=32), (3, 32, 32)),
    "fcn_resnet50": (lambda: models.segmentation.fcn_resnet50(weights_backbone=None), (3, 32, 32)),
    "r3d_18": (models.video.r3d_18, (3, 4, 16, 16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_torchvision_is_traced_exactly_with_all_its_weights_in_sight(name):
    build, shape = NETWORKS[name]
    model = build()
    traced = trace(model, (torch.zeros(2, *shape),))
    assert traced.leaves == ()
    assert visible_fraction(traced) == 1
    generator = torch.Generator().manual_seed(1)
    for batch in (3, 5):
        hold_equal(model, traced.module, torch.randn(batch, *shape, generator=generator))


# -- networks of random structure -------------------------------------------------------------------------------------

C, SIDE = 4, 6
SHAPE = (C, SIDE, SIDE)


class Program(nn.Module):
    """A network that runs random steps, each of which makes one more value of shape SHAPE from two earlier ones."""

    def __init__(self, steps: list[tuple[str, int, int]], returned: list[int]) -> None:
        super().__init__()
        self.steps = steps
        self.returned = returned
        self.convs = nn.ModuleList(nn.Conv2d(C, C, 3, padding=1, groups=groups) for groups in (1, 2, C))
        self.merge = nn.Conv2d(2 * C, C, 1)
        self.squeeze = nn.Conv2d(C, C, 1)
        self.norm = nn.BatchNorm2d(C)
        self.relu = nn.ReLU(inplace=True)
        self.tanh = nn.Tanh()
        self.drop = nn.Dropout(0.5)
        self.gamma = nn.Parameter(torch.rand(C, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        values = [x]
        for kind, first, second in self.steps:
            a, b = values[first % len(values)], values[second % len(values)]
            values.append(getattr(self, f"do_{kind}")(a, b, first + second))
        return [values[index % len(values)] for index in self.returned] + [values[-1]]

    def do_conv(self, a: Tensor, _: Tensor, n: int) -> Tensor:
        return self.convs[n % 3](a)

    def do_merge(self, a: Tensor, b: Tensor, _: int) -> Tensor:
        return self.merge(torch.cat([a, b], 1))

    def do_norm(self, a: Tensor, _: Tensor, __: int) -> Tensor:
        return self.norm(a)

    def do_activation(self, a: Tensor, _: Tensor, n: int) -> Tensor:
        return (self.tanh, F.gelu, torch.sigmoid, self.relu, lambda x: F.leaky_relu(x, inplace=True))[n % 5](a)

    def do_drop(self, a: Tensor, _: Tensor, n: int) -> Tensor:
        return self.drop(a) if n % 2 else F.dropout(a, 0.5, training=self.training)

    def do_add(self, a: Tensor, b: Tensor, _: int) -> Tensor:
        return a + b

    def do_scale(self, a: Tensor, _: Tensor, __: int) -> Tensor:
        return a * self.gamma

    def do_gate(self, a: Tensor, b: Tensor, _: int) -> Tensor:
        return a * torch.sigmoid(self.squeeze(b.mean((2, 3), keepdim=True)))

    def do_add_in_place(self, a: Tensor, b: Tensor, n: int) -> Tensor:
        if n % 2:
            return a.add_(b)
        a += b
        return a

    def do_scale_part_in_place(self, a: Tensor, _: Tensor, __: int) -> Tensor:
        a[:, :2].mul_(0.5)
        return a

    def do_assign(self, a: Tensor, b: Tensor, _: int) -> Tensor:
        a[:, 0] = b[:, 1]
        return a

    def do_view(self, a: Tensor, _: Tensor, n: int) -> Tensor:
        return (lambda x: x.view(x.shape), lambda x: x.transpose(2, 3), lambda x: x.float(), lambda x: x.mT)[n % 4](a)

    def do_reshape(self, a: Tensor, _: Tensor, __: int) -> Tensor:
        n, c, h, w = a.shape
        return a.reshape(n * c, h * w).reshape(n, w, c, h).permute(0, 2, 3, 1) if w == h else a


KINDS = [name.removeprefix("do_") for name in vars(Program) if name.startswith("do_")]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12)
PROGRAMS = st.builds(Program, STEPS, st.lists(st.integers(0, 20), max_size=3))


def runs(model: nn.Module) -> bool:
    """Whether eager mode itself accepts the program: it refuses, say, to add a tensor in place to its own transpose."""
    model = copy.deepcopy(model)
    try:
        for training in (True, False):
            run(model, torch.zeros(2, *SHAPE), training=training)
    except RuntimeError:
        return False
    return True


@settings(max_examples=60)
@given(model=PROGRAMS, batch=st.sampled_from([2, 3, 5, 8]))
def test_a_network_of_random_structure_is_traced_exactly(model, batch):
    assume(runs(model))
    traced = trace(model, (torch.zeros(2, *SHAPE),)).module
    hold_equal(model, traced, torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(batch)))


class Watched(fx.Interpreter):
    """Runs a graph and keeps a copy of what every node returned at once, beside the value itself."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, garbage_collect_values=False, graph=graph)
        self.seen: dict[fx.Node, tuple[Tensor, Tensor]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.seen[n] = (result, result.clone())
        return result


@settings(max_examples=60)
@given(model=PROGRAMS, training=st.booleans())
def test_a_value_that_is_not_marked_keeps_its_value_to_the_end(model, training):
    assume(runs(model))
    module = trace(model, (torch.zeros(2, *SHAPE),)).module.train(training)
    watched = Watched(module, module.n2n_graph)
    with torch.no_grad():
        watched.run(torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)))
    changed = [node for node, (now, then) in watched.seen.items() if not torch.equal(now, then)]
    assert [node for node in changed if not node.meta.get("mutated") and node.op not in {"get_attr", "output"}] == []


@settings(max_examples=30)
@given(model=PROGRAMS)
def test_pairs_lead_forward_from_an_activation_to_a_layer_that_may_be_a_target(model):
    assume(runs(model))
    traced = trace(model, (torch.zeros(2, *SHAPE),))
    graph = layer_graph(traced)
    (code,) = traced.module.n2n_graphs
    position = {node.meta.get("address"): index for index, node in enumerate(code.nodes)}
    for pair in graph.pairs:
        assert pair.length >= 2
        assert position[pair.source_signal.address] < position[pair.target_signal.address]
        assert graph.layer(pair.target).not_target in {None, HEAD}
        assert pair.source_signal.shape == pair.target_signal.shape == SHAPE
    assert graph == layer_graph(trace(model, (torch.zeros(3, *SHAPE),)))


@settings(max_examples=30)
@given(model=PROGRAMS)
def test_multiply_accumulates_are_half_of_the_flops_that_torch_counts(model):
    assume(runs(model))
    graph = layer_graph(trace(model, (torch.zeros(2, *SHAPE),)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, *SHAPE))
    assert 2 * graph.macs == counter.get_total_flops()


# -- all of torchvision -----------------------------------------------------------------------------------------------

FAMILIES = (models, models.segmentation, models.video, models.optical_flow)
EVERY_NAME = sorted(name for family in FAMILIES for name in models.list_models(module=family))
# The smallest inputs, by the beginning of a name; the longest beginning counts.
SMALLEST: dict[str, tuple[tuple[int, ...], ...]] = {
    "": ((3, 64, 64),),
    "inception": ((3, 299, 299),),
    "maxvit": ((3, 224, 224),),
    "vit_h": ((3, 56, 56),),
    "mvit": ((3, 16, 224, 224),),
    "mc3": ((3, 4, 32, 32),),
    "r2plus1d": ((3, 4, 32, 32),),
    "r3d": ((3, 4, 32, 32),),
    "s3d": ((3, 16, 224, 224),),
    "swin3d": ((3, 4, 64, 64),),
    "raft": ((3, 128, 128), (3, 128, 128)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False},
    "inception": {"init_weights": False},
    "vit_h": {"image_size": 56},
    "vit": {"image_size": 64},
    "fcn": {"weights_backbone": None},
    "deeplabv3": {"weights_backbone": None},
    "lraspp": {"weights_backbone": None},
}


def by_beginning(table: dict[str, Any], name: str) -> Any:
    """The entry of the longest key that `name` begins with, or None."""
    fitting = [key for key in table if name.startswith(key)]
    return table[max(fitting, key=len)] if fitting else None


def built(name: str) -> nn.Module:
    """The model with cheap random weights: how torchvision draws them takes longer than to trace."""
    drawing = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    with mock.patch.multiple(nn.init, **dict.fromkeys(drawing, lambda tensor, *_, **__: tensor)):
        model = models.get_model(name, weights=None, **(by_beginning(OPTIONS, name) or {}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            bound = 1 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 1
            parameter.uniform_(-bound, bound, generator=generator)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_network_of_torchvision_but_the_detectors_is_traced_exactly(name):
    model = built(name)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(3, *shape, generator=generator) for shape in by_beginning(SMALLEST, name)]
    traced = trace(model, [tensor[:2] for tensor in inputs])
    assert traced.leaves == ()
    assert visible_fraction(traced) == 1
    hold_equal(model, traced.module, *inputs)
