"""Models that cannot be followed as a whole: their parts are, and all of their weights are known."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace


def block(channels: int) -> nn.Sequential:
    layers = [m for _ in range(3) for m in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), *layers)


class Detector(nn.Module):
    """Takes a list of images; how many boxes its head gets depends on their content."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = block(4)
        self.head = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        self.query = nn.Parameter(torch.ones(6, 4))

    def forward(self, images: list[torch.Tensor]):
        features = self.backbone(torch.stack([image / 2 for image in images]))
        boxes = features.mean((2, 3))[features.mean((1, 2, 3)) > -1e9]
        return [self.head(box[None]) @ F.linear(box, self.query)[:2] for box in boxes]


IMAGES = ([torch.rand(3, 8, 8), torch.rand(3, 8, 8)],)


def test_the_parts_of_a_detector_are_followed_each_by_itself():
    traced = trace(Detector(), IMAGES)
    graph = layer_graph(traced)
    assert [layer.name for layer in graph.layers] == [
        "backbone.0", "backbone.2", "backbone.4", "backbone.6", "head.0", "head.2"
    ]  # fmt: skip
    assert {(pair.source.split(".")[0], pair.target.split(".")[0]) for pair in graph.pairs} >= {("backbone",) * 2}
    assert not [pair for pair in graph.pairs if pair.target.startswith("head") and pair.source.startswith("backbone")]
    assert [(w.name, w.uses) for w in graph.weights] == [
        ("query", 1),
        ("backbone.0.weight", 64),
        ("backbone.2.weight", 64),
        ("backbone.4.weight", 64),
        ("backbone.6.weight", 64),
        ("head.0.weight", 1),
        ("head.2.weight", 1),
    ]
    assert traced.unfollowed.startswith("Detector, module 'backbone.0' cannot be traced: ")
    assert (traced.leaves[-1].class_name, traced.leaves[-1].paths) == ("Detector", ("",))
    with pytest.raises(TraceError, match="Detector cannot be run in its place: Detector, module"):
        traced.module(*IMAGES)


def test_a_model_of_which_no_part_can_be_followed_has_weights_but_no_pairs():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.ParameterList([torch.ones(3, 3)]), nn.Linear(3, 2)

        def forward(self, x):
            return F.linear(x @ self.first[0] if float(x.sum()) < 1e9 else x, self.second.weight)

    graph = layer_graph(trace(Net(), (torch.rand(4, 3),)))
    assert (graph.layers, graph.pairs) == ((), ())
    assert [(w.name, w.layout, w.uses) for w in graph.weights] == [
        ("first.0", "matrix", 1),
        ("second.weight", "linear", 1),
    ]


def test_a_model_that_does_not_run_on_its_example_is_refused_with_the_reason_of_the_trace():
    with pytest.raises(TraceError, match=r"Detector.* cannot be traced: "):
        trace(Detector(), ([torch.rand(5, 8, 8)],))


def test_the_model_is_as_before():
    model = Detector().train()
    trace(model, IMAGES)
    assert model.training
    assert model.backbone.training
    assert not model._forward_pre_hooks
    assert not model.backbone._forward_pre_hooks
