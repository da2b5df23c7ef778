"""Pairs of layers: which there are, how long they are, and which of them each policy takes."""

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.graph.layers.layer_graph import LayerGraph
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.layers.pair_selection import POLICIES, PairSelection
from n2nsurgery.graph.layers.pairs import select_pairs
from n2nsurgery.graph.tracing.trace import trace


def graph_of(model: nn.Module, *shape: int) -> LayerGraph:
    return layer_graph(trace(model, (torch.zeros(2, *shape),)))


def chosen(graph: LayerGraph, *, seed: int = 0, **selection) -> list[str]:
    return [f"{p.source}->{p.target}" for p in select_pairs(graph, PairSelection(**selection), seed=seed)[0]]


def refused(graph: LayerGraph, **selection) -> dict[str, str]:
    return {refusal.target: refusal.reason for refusal in select_pairs(graph, PairSelection(**selection), seed=0)[1]}


def chain(layers: int) -> nn.Sequential:
    """Convolutions c0, c1, ... with a ReLU after each."""
    net = nn.Sequential()
    for index in range(layers):
        net.add_module(f"c{index}", nn.Conv2d(3, 3, 3, padding=1))
        net.add_module(f"r{index}", nn.ReLU())
    return net


@pytest.fixture(scope="module")
def plain() -> LayerGraph:
    return graph_of(chain(7), 3, 8, 8)


class Basic(nn.Module):
    """The basic block of a ResNet, with a projection where the width changes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.down = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += self.down(x)
        return self.relu(y)


@pytest.fixture(scope="module")
def resnet() -> LayerGraph:
    stem = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)]
    return graph_of(nn.Sequential(*stem, Basic(4, 4), Basic(4, 4), Basic(4, 6), Basic(6, 6), *head), 3, 8, 8)


def test_every_pair_of_two_or_more_layers_is_a_candidate(plain):
    names = [f"c{index}" for index in range(7)]
    expected = {
        (a, b): names.index(b) - names.index(a) for a in names for b in names if names.index(b) - names.index(a) > 1
    }
    assert {(pair.source, pair.target): pair.length for pair in plain.pairs} == expected


def test_a_pair_holds_its_signals_and_the_function_of_its_target(plain):
    pair = next(pair for pair in plain.pairs if (pair.source, pair.target) == ("c1", "c4"))
    assert (pair.source_signal.address, pair.target_signal.address) == ("r1#0", "c4#0")
    assert pair.source_signal.shape == pair.target_signal.shape == (3, 8, 8)
    assert pair.nonlinearity.name == "ReLU"
    assert pair.shortcut is False


def test_length_is_counted_on_the_longest_path(resnet):
    lengths = {(pair.source, pair.target): pair.length for pair in resnet.pairs}
    assert lengths["0", "2.conv2"] == 2  # not 0, along the identity
    assert lengths["0", "3.conv2"] == 4
    assert lengths["3.conv2", "4.conv2"] == 2
    assert ("3.conv2", "4.down") not in lengths  # one layer alone
    assert lengths["3.conv1", "4.down"] == 2  # conv2 and the projection, though the identity is shorter
    assert lengths["0", "8"] == 9


def test_a_gate_is_not_counted():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 3, 1) for _ in range(3))
            self.reduce, self.expand = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            x = x * torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
            return torch.relu(self.c(torch.relu(self.b(x))))

    pairs = graph_of(Gated(), 3, 8, 8).pairs
    assert [(pair.source, pair.target, pair.length) for pair in pairs] == [("a", "c", 2)]


def test_the_input_is_a_source_for_linear_layers_only():
    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2))

        def forward(self, image: Tensor) -> Tensor:
            return self.layers(image.flatten(1))

    mlp = graph_of(Mlp(), 3, 2, 2)
    assert {(pair.source, pair.target, pair.length) for pair in mlp.pairs} == {
        ("image", "layers.2", 2),
        ("image", "layers.4", 3),
        ("layers.0", "layers.4", 2),
    }
    (source, *_) = (pair.source_signal for pair in mlp.pairs if pair.source == "image")
    assert (source.address, source.shape) == ("flatten#0", (12,))
    assert "input" not in {pair.source for pair in graph_of(chain(3), 3, 8, 8).pairs}


def test_layers_with_one_activation_are_one_source_named_by_the_deepest(resnet):
    assert "4.conv2" in {pair.source for pair in resnet.pairs}
    assert "4.down" not in {pair.source for pair in resnet.pairs}


class Merged(nn.Module):
    """Five layers over tokens, of which the second to fourth have positions in the first dimension."""

    def __init__(self, *, by_sample: bool) -> None:
        super().__init__()
        self.by_sample = by_sample
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        x = torch.relu(self.layers[0](x.tanh()))
        x = x if self.by_sample else x.transpose(0, 1)
        x = x.reshape(n * t, c)
        for layer in self.layers[1:4]:
            x = torch.relu(layer(x))
        x = x.reshape(n, t, c) if self.by_sample else x.reshape(t, n, c).transpose(0, 1)
        return torch.relu(self.layers[4](x))


def test_rows_of_one_sample_that_follow_each_other_are_paired_among_themselves():
    graph = graph_of(Merged(by_sample=True), 5, 4)
    found = {(pair.source, pair.target): pair.target_signal for pair in graph.pairs}
    assert list(found) == [("layers.0", "layers.4"), ("layers.1", "layers.3")]
    assert (found["layers.1", "layers.3"].rows, found["layers.1", "layers.3"].shape) == (5, (4,))
    assert found["layers.0", "layers.4"].rows == 1
    reasons = {(r.source, r.target): r.reason for r in graph.refusals}
    assert reasons["layers.0", "layers.2"] == "of rows for each sample the source has 1 and the target 5"
    assert reasons["layers.1", "layers.4"] == "of rows for each sample the source has 5 and the target 1"


def test_a_layer_whose_first_dimension_is_not_ordered_by_samples_is_refused_with_a_reason():
    graph = graph_of(Merged(by_sample=False), 5, 4)
    assert [(pair.source, pair.target) for pair in graph.pairs] == [("layers.0", "layers.4")]
    reasons = {(r.source, r.target): r.reason for r in graph.refusals}
    assert reasons["layers.0", "layers.2"] == "its first dimension is not the batch"
    assert reasons["layers.1", "layers.4"] == "the source's first dimension is not the batch"


def test_layers_without_a_part_are_refused_with_their_reasons(resnet):
    bottleneck = graph_of(nn.Sequential(chain(2), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU()), 3, 8, 8)
    reasons = {(r.source, r.target): r.reason for r in bottleneck.refusals}
    assert reasons == {("1", ""): "no activation follows it"}
    assert not [r for r in resnet.refusals if r.target == "8"]  # a head is a choice, no rejection


def test_overlapping_takes_every_pair_of_the_length(plain):
    assert chosen(plain) == ["c0->c3", "c1->c4", "c2->c5", "c3->c6"]
    assert chosen(plain, length=5) == ["c0->c5", "c1->c6"]
    assert chosen(plain, length=7) == []


def test_blocks_take_pairs_that_do_not_overlap(plain):
    assert chosen(plain, policy="blocks") == ["c0->c3", "c3->c6"]
    assert chosen(plain, policy="blocks", length=2) == ["c0->c2", "c2->c4", "c4->c6"]


def test_all_takes_every_candidate(plain):
    everything = chosen(plain, policy="all")
    assert set(everything) == {f"{pair.source}->{pair.target}" for pair in plain.pairs}
    assert len(everything) == 15
    assert everything[:4] == ["c0->c2", "c0->c3", "c1->c3", "c0->c4"]  # by target, then by source


def test_random_pairs_follow_the_seed(plain):
    first = chosen(plain, policy="random", seed=1)
    assert first == chosen(plain, policy="random", seed=1)
    assert len(first) == len(set(first)) == len(chosen(plain))  # as many as overlapping ones, unless told otherwise
    assert len({tuple(chosen(plain, policy="random", seed=seed)) for seed in range(20)}) > 10
    assert len(chosen(plain, policy="random", count=15)) == 15
    order = [f"{pair.source}->{pair.target}" for pair in plain.pairs]
    assert set(first) <= set(order)
    targets = [pair.partition("->")[2] for pair in first]
    assert sorted(targets) == targets  # in execution order


@pytest.mark.parametrize("count", [0, -1, 16])
def test_an_impossible_number_of_random_pairs_is_refused(plain, count):
    with pytest.raises(UsageError, match=f"{count} random pairs asked for; the network has 15 candidates"):
        chosen(plain, policy="random", count=count)


def test_random_pairs_default_to_none_where_no_pair_has_the_length(plain):
    assert chosen(plain, policy="random", length=7) == []


def test_heads_are_targets_on_request_only(resnet):
    assert "8" not in {pair.partition("->")[2] for pair in chosen(resnet, policy="all")}
    assert "4.conv2->8" in chosen(resnet, include_classifier=True)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"placement": "avoid"}, "unknown skip placement 'avoid'; did you mean 'avoid-residual'"),
        ({"policy": "block"}, "unknown pairs 'block'; did you mean 'blocks'"),
    ],
)
def test_an_unknown_rule_is_refused(plain, asked, message):
    with pytest.raises(UnknownNameError, match=message):
        chosen(plain, **asked)


@pytest.mark.parametrize("length", [1, 0, -3])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_skip_spans_at_least_two_layers(plain, length, policy):
    with pytest.raises(UsageError, match=f"skip length {length}: a skip spans at least 2 weighted layers"):
        chosen(plain, length=length, policy=policy)


def test_patterns_include_and_exclude_by_either_end_or_by_both(plain):
    assert chosen(plain, include=("c0", "c6")) == ["c0->c3", "c3->c6"]
    assert chosen(plain, include=("c0->*",)) == ["c0->c3"]
    assert chosen(plain, include=("*->c5",)) == ["c2->c5"]
    assert chosen(plain, exclude=("c3",)) == ["c1->c4", "c2->c5"]
    assert chosen(plain, include=("re:c[0-4]$",), exclude=("c3->c6", "c1")) == ["c0->c3", "c2->c5"]
    assert chosen(plain, policy="all", include=("c0->c6",)) == ["c0->c6"]


def test_a_pattern_of_a_container_matches_what_is_in_it(resnet):
    assert {pair.partition("->")[2] for pair in chosen(resnet, include=("*->4",))} <= {"4.conv1", "4.conv2", "4.down"}
    assert chosen(resnet, include=("4",))


@pytest.mark.parametrize("role", ["include", "exclude"])
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("c_3", "unknown layer pattern 'c_3'; did you mean 'c3'"),
        ("c1->c_4", "unknown pair pattern 'c1->c_4'; did you mean 'c1->c4'"),
        ("c1->c2", "unknown pair pattern 'c1->c2'"),
        ("re:^x", "unknown layer pattern 're:^x'"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name(plain, role, pattern, message):
    with pytest.raises(UnknownNameError) as caught:
        chosen(plain, **{role: (pattern,)})
    assert message in str(caught.value)


NO_BLOCK = "identity shortcut, with no block before to start from"
INSIDE = ["0->3.conv1", "2.conv2->4.conv1", "3.conv2->5.conv1"]  # targets whose sum holds no shortcut
OTHERS = [*INSIDE[:2], "3.conv1->4.conv2", INSIDE[2]]  # no identity meets these targets
PROJECTED = {"4.down": "its sum is also that of 4.conv2"}


def test_skips_lead_into_blocks_and_leave_their_ends_alone(resnet):
    assert chosen(resnet) == INSIDE
    ends = ["2.conv2", "3.conv2", "4.conv2", "5.conv2"]
    assert refused(resnet) == PROJECTED | dict.fromkeys(ends, "its sum holds a shortcut already")


def test_a_target_with_an_identity_is_reached_from_one_block_before_on_request(resnet):
    asked = PairSelection(placement="two-blocks")
    assert sorted(chosen(resnet, placement="two-blocks")) == sorted([*OTHERS, "0->3.conv2", "3.conv2->5.conv2"])
    assert refused(resnet, placement="two-blocks") == PROJECTED | {"2.conv2": NO_BLOCK}
    lengths = {(pair.source, pair.target): pair.length for pair in select_pairs(resnet, asked, seed=0)[0]}
    assert lengths["0", "3.conv2"] == lengths["3.conv2", "5.conv2"] == 4


def test_a_target_with_an_identity_is_treated_as_any_other_on_request(resnet):
    assert sorted(chosen(resnet, placement="all")) == sorted([*OTHERS, "2.conv1->3.conv2", "4.conv1->5.conv2"])
    assert refused(resnet, placement="all") == PROJECTED


def test_the_policy_all_and_random_pairs_ignore_the_rule_of_sums(resnet):
    assert "2.conv2->4.down" in chosen(resnet, policy="all")
    assert refused(resnet, policy="all") == refused(resnet, policy="random") == {}


def test_blocks_follow_the_same_rules(resnet):
    asked = {"policy": "blocks", "placement": "two-blocks"}
    assert chosen(resnet, policy="blocks") == ["0->3.conv1", "3.conv2->5.conv1"]
    assert chosen(resnet, **asked) == ["0->3.conv1", "3.conv1->4.conv2"]
    assert refused(resnet, **asked) == PROJECTED | {"2.conv2": NO_BLOCK}


def test_an_excluded_target_leaves_its_sum_to_the_projection(resnet):
    asked = {"exclude": ("*->4.conv2",), "length": 2, "placement": "all"}
    targets = {pair.partition("->")[2] for pair in chosen(resnet, **asked)}
    assert "4.down" in targets
    assert "4.down" not in refused(resnet, **asked)


def test_a_stream_of_sums_that_starts_at_no_activation_is_not_a_shortcut_to_double():
    class Bottleneck(nn.Module):
        """A linear bottleneck: nothing nonlinear comes after its sum."""

        def __init__(self) -> None:
            super().__init__()
            self.widen, self.narrow = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.narrow(torch.relu(self.widen(x)))

    graph = graph_of(nn.Sequential(chain(1), *[Bottleneck() for _ in range(3)], nn.Conv2d(3, 3, 1)), 3, 8, 8)
    assert all(pair.shortcut for pair in graph.pairs if pair.target.endswith("narrow"))
    # Three layers back from 3.widen lies no activation: blocks of two layers are reached from two layers back.
    assert chosen(graph) == ["0.c0->2.widen", "2.widen->3.widen"]
    assert chosen(graph, placement="two-blocks") == ["0.c0->2.widen", "1.widen->2.narrow", "2.widen->3.narrow"]
    assert {pair.source for pair in graph.pairs} == {"0.c0", "1.widen", "2.widen", "3.widen"}  # no sum is a source
