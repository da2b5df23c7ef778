"""Channels of small torch networks, edge by edge."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.graph.channels.flow import ChannelFlow, LayerCall
from n2nsurgery.graph.channels.from_torch import network as torch_network
from n2nsurgery.graph.channels.from_torch.network import channel_network

IMAGE = (1, 2, 4, 4)


class Net(nn.Module):
    """A forward as a function of the network and its input, over named layers."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def flow_of(forward, shape=IMAGE, **layers) -> ChannelFlow:
    return channel_network(Net(forward, **layers), {"x": torch.zeros(shape)}).flow


def edges(flow: ChannelFlow, name: str) -> set[tuple[str, str]]:
    """The pairs of a step that a dense weight connects, as `group.channel` names."""
    labels = [f"{group.name}.{node - group.start}" for group in flow.groups for node in range(group.start, group.stop)]
    step = next(step for step in flow.steps if step.name == name)
    if not isinstance(step, LayerCall):
        return {(labels[s], labels[t]) for s, t in zip(step.sources, step.targets, strict=True)}
    found = set()
    ins, outs = step.features // step.groups, len(step.targets) // step.groups
    for feature in range(step.features):
        nodes = step.feature_nodes[step.feature_starts[feature] : step.feature_starts[feature + 1]]
        targets = step.targets[feature // ins * outs : (feature // ins + 1) * outs]
        found |= {(labels[s], labels[t]) for s in nodes for t in targets}
    return found


def all_pairs(sources: list[str], targets: list[str]) -> set[tuple[str, str]]:
    return {(s, t) for s in sources for t in targets}


def names(group: str, *channels: int) -> list[str]:
    return [f"{group}.{channel}" for channel in channels]


def group_names(flow: ChannelFlow) -> list[str]:
    return [group.name for group in flow.groups]


def features(call: LayerCall) -> list[list[int]]:
    """The nodes of each feature."""
    return [call.feature_nodes[i:j].tolist() for i, j in pairwise(call.feature_starts)]


def conv(c_in, c_out, kernel=1, **options):
    return nn.Conv2d(c_in, c_out, kernel, **options)


def test_a_shortcut_makes_identity_edges_to_the_layer_it_is_added_to():
    flow = flow_of(lambda n, x: n.b(torch.relu(n.norm(n.a(x)) + x)), a=conv(2, 2), norm=nn.BatchNorm2d(2), b=conv(2, 3))
    assert group_names(flow) == ["x", "a", "b"]
    assert [step.name for step in flow.steps] == ["a", "a.add", "b"]
    assert edges(flow, "a.add") == {("x.0", "a.0"), ("x.1", "a.1")}
    assert edges(flow, "b") == all_pairs(names("a", 0, 1), names("b", 0, 1, 2))
    assert flow.sources.tolist() == [0, 1]
    assert flow.sinks.tolist() == [4, 5, 6]


def test_a_projection_shortcut_ends_in_the_blocks_own_nodes():
    flow = flow_of(
        lambda n, x: n.head((n.b(torch.relu(n.a(x))) + n.down(x)).mean((2, 3))),
        a=conv(2, 3), b=conv(3, 4), down=conv(2, 4), head=nn.Linear(4, 1),
    )  # fmt: skip
    assert group_names(flow) == ["x", "a", "b", "head"]
    assert edges(flow, "down") == all_pairs(names("x", 0, 1), names("b", 0, 1, 2, 3))
    assert not any(step.name.endswith(".add") for step in flow.steps)


def test_a_sum_of_values_that_others_read_too_joins_their_channels():
    def forward(net, x):
        a, b = net.a(x), net.b(x)
        return net.c(a + b) + net.d(a) + net.e(b)

    flow = flow_of(forward, a=conv(2, 2), b=conv(2, 2), c=conv(2, 1), d=conv(2, 1), e=conv(2, 1))
    assert edges(flow, "c") == all_pairs([*names("a", 0, 1), *names("b", 0, 1)], ["c.0"])
    assert group_names(flow) == ["x", "a", "b", "c"]


def test_concatenated_channels_lie_one_after_the_other():
    flow = flow_of(lambda n, x: n.b(torch.cat([x, n.a(x)], 1)), a=conv(2, 3), b=conv(5, 2, groups=1))
    call = flow.calls[-1]
    assert call.feature_nodes.tolist() == [0, 1, 2, 3, 4]
    assert edges(flow, "b") == all_pairs([*names("x", 0, 1), *names("a", 0, 1, 2)], names("b", 0, 1))


def test_flattened_maps_are_condensed_to_their_channels():
    flow = flow_of(lambda n, x: n.fc(torch.flatten(n.a(x), 1)), a=conv(2, 3), fc=nn.Linear(48, 2))
    assert edges(flow, "fc") == all_pairs(names("a", 0, 1, 2), names("fc", 0, 1))
    assert np.diff(flow.calls[-1].feature_starts).tolist() == [1] * 48
    assert flow.calls[-1].feature_nodes.tolist() == np.repeat([2, 3, 4], 16).tolist()


def test_grouped_layers_are_block_diagonal_and_depthwise_ones_diagonal():
    flow = flow_of(lambda n, x: n.d(n.g(x)), shape=(1, 4, 4, 4), g=conv(4, 4, groups=2), d=conv(4, 4, 3, groups=4))
    halves = all_pairs(names("x", 0, 1), names("g", 0, 1)) | all_pairs(names("x", 2, 3), names("g", 2, 3))
    assert edges(flow, "g") == halves
    assert edges(flow, "d") == {(f"g.{k}", f"d.{k}") for k in range(4)}


def test_a_transposed_convolution_is_read_like_any_other():
    flow = flow_of(lambda n, x: n.up(x), up=nn.ConvTranspose2d(2, 4, 2, stride=2, groups=2))
    assert edges(flow, "up") == all_pairs(["x.0"], names("up", 0, 1)) | all_pairs(["x.1"], names("up", 2, 3))


def test_a_layer_that_is_called_twice_has_nodes_for_each_call():
    flow = flow_of(lambda n, x: n.a(torch.relu(n.a(x))), a=conv(2, 2))
    assert group_names(flow) == ["x", "a", "a#2"]
    assert [call.name for call in flow.calls] == ["a", "a#2"]
    assert edges(flow, "a#2") == all_pairs(names("a", 0, 1), names("a#2", 0, 1))


def test_a_gate_and_what_it_gates_are_read_together():
    def forward(net, x):
        a = net.a(x)
        return net.b(a * torch.sigmoid(net.gate(a.mean((2, 3), keepdim=True))))

    flow = flow_of(forward, a=conv(2, 3), gate=conv(3, 3), b=conv(3, 1))
    assert features(flow.calls[-1]) == [[2, 5], [3, 6], [4, 7]]


def test_an_activation_written_out_is_not_a_gate():
    def forward(net, x):
        z = net.a(x)
        return net.b(z * torch.sigmoid(z) + x)

    spelled = flow_of(forward, a=conv(2, 2), b=conv(2, 1))
    assert edges(spelled, "a.add") == {("x.0", "a.0"), ("x.1", "a.1")}


def test_a_channel_shuffle_moves_channels():
    def forward(net, x):
        a = net.a(x)
        return net.b(a.view(a.shape[0], 2, 3, 4, 4).transpose(1, 2).reshape(a.shape[0], 6, 4, 4))

    flow = flow_of(forward, a=conv(2, 6), b=conv(6, 6, groups=3))
    assert flow.calls[-1].feature_nodes.tolist() == [2, 5, 3, 6, 4, 7]


def test_patch_merging_reads_every_channel_four_times():
    def forward(net, x):
        t = net.a(x).permute(0, 2, 3, 1)
        return net.b(torch.cat([t[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1))

    flow = flow_of(forward, a=conv(2, 3), b=nn.Linear(12, 5))
    assert flow.calls[-1].feature_nodes.tolist() == [2, 3, 4] * 4


def test_pixel_shuffle_collects_channels_in_space():
    flow = flow_of(lambda n, x: n.b(F.pixel_shuffle(n.a(x), 2)), a=conv(2, 8), b=conv(2, 1))
    assert features(flow.calls[-1]) == [[2, 3, 4, 5], [6, 7, 8, 9]]


def test_padded_channels_are_no_nodes():
    flow = flow_of(lambda n, x: n.b(n.a(x) + F.pad(x, (0, 0, 0, 0, 1, 1), value=7.0)), a=conv(2, 4), b=conv(4, 1))
    assert edges(flow, "a.add") == {("x.0", "a.1"), ("x.1", "a.2")}


@pytest.mark.parametrize("need_weights", [False, True])
def test_attention_reads_query_key_and_value_channel_by_channel(need_weights):
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    flow = flow_of(
        lambda n, x: n.attention(x, x, x, need_weights=need_weights)[0], shape=(1, 5, 4), attention=attention
    )
    assert [call.name for call in flow.calls] == ["attention.in_proj", "attention.out_proj"]
    expected = [[4 + j, 8 + j, 12 + j] for j in range(4)]
    assert features(flow.calls[-1]) == expected
    assert len(flow.notes) == 1
    assert "Attention" in flow.notes[0]


def test_cross_attention_reads_a_slice_of_its_packed_weight():
    def forward(net, x):
        return net.attention(net.q(x), x, x, need_weights=False)[0]

    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    net = Net(forward, q=nn.Linear(4, 4), attention=attention)
    network = channel_network(net, {"x": torch.zeros(1, 5, 4)})
    weights = [network.weights[call.weight] for call in network.flow.calls if "in_proj" in call.name]
    assert sorted(weight.shape for weight in weights) == [(4, 4), (8, 4)]
    packed = attention.in_proj_weight.detach().numpy()
    np.testing.assert_array_equal(np.concatenate(sorted(weights, key=len)), packed)


def test_what_is_not_followed_is_tied_to_one_node_and_named():
    def forward(net, x):
        return net.b(torch.einsum("bchw,bdhw->bcdh", net.a(x), net.a(x)).flatten(1))

    flow = flow_of(forward, a=conv(2, 2), b=nn.Linear(16, 3))
    assert "einsum" in group_names(flow)
    assert edges(flow, "b") == all_pairs(["einsum.0"], names("b", 0, 1, 2))
    assert edges(flow, "einsum") == all_pairs([*names("a", 0, 1), *names("a#2", 0, 1)], ["einsum.0"])
    assert ["einsum" in note for note in flow.notes] == [True]


def test_a_mean_over_many_channels_is_not_followed():
    flow = flow_of(lambda n, x: n.b(n.a(x).mean(1, keepdim=True)), a=conv(2, 100), b=conv(1, 1))
    assert "mean" in group_names(flow)


def test_tokens_of_a_vocabulary_are_one_channel():
    net = Net(lambda n, x: n.fc(n.table(x)), table=nn.Embedding(10, 3), fc=nn.Linear(3, 2))
    flow = channel_network(net, {"x": torch.zeros(1, 5, dtype=torch.int64)}).flow
    assert edges(flow, "fc") == all_pairs(["x.0"], names("fc", 0, 1))


def test_a_module_that_looks_at_its_data_is_run_on_data():
    flow = flow_of(lambda n, x: n.a(x if float(x.sum()) == 0 else x * 2), a=conv(2, 2))
    assert edges(flow, "a") == all_pairs(names("x", 0, 1), names("a", 0, 1))


def test_no_data_flows_where_none_is_asked_for(monkeypatch):
    runs = []
    recorded = torch_network._recorded
    monkeypatch.setattr(torch_network, "_recorded", lambda *given: runs.append(given[-1]) or recorded(*given))
    layers = {"a": conv(2, 4), "norm": nn.BatchNorm2d(4), "attention": nn.MultiheadAttention(4, 2, batch_first=True)}

    def forward(net, x):
        tokens = torch.relu(net.norm(net.a(x))).flatten(2).mT
        return net.attention(tokens[:, 1:], tokens, tokens)[0]

    flow_of(forward, **layers)
    assert len(runs) == 1
    assert runs[0] is not None


def test_the_module_stays_as_it_was():
    net = Net(lambda n, x: n.norm(n.a(x)), a=conv(2, 2), norm=nn.BatchNorm2d(2)).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    channel_network(net, {"x": torch.zeros(IMAGE)})
    assert all(part.training for part in net.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_batchnorm_factors_belong_to_the_call_that_it_alone_reads():
    def forward(net, x):
        a = net.a(x)
        return net.n2(net.b(net.n1(a))) + a

    net = Net(forward, a=conv(2, 2), n1=nn.BatchNorm2d(2), b=conv(2, 2), n2=nn.BatchNorm2d(2, eps=1.0))
    nn.init.constant_(net.n2.weight, -3.0)
    net.n2.running_var.fill_(3.0)  # + eps = 2 squared
    scales = channel_network(net, {"x": torch.zeros(IMAGE)}).scales
    assert {name: scale.tolist() for name, scale in scales.items()} == {"b": [1.5, 1.5]}


def test_a_network_without_layers_and_one_that_cannot_run_are_refused():
    with pytest.raises(UsageError, match="no weighted layer"):
        flow_of(lambda _, x: torch.relu(x))
    with pytest.raises(TraceError, match="cannot be run"):
        flow_of(lambda n, x: n.a(x), a=conv(3, 2))
