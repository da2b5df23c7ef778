from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery import MaskSet, PrunedModel, apply
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.surgery.replay import replay


def again(pruned: PrunedModel, model: nn.Module, images: Tensor, **changed) -> PrunedModel:
    given = {
        "plan": pruned.plan,
        "record": pruned.record,
        "masks": pruned.masks,
        "state": pruned.module.state_dict(),
    }
    return replay(trace(model, (images,)), **given | changed)


def _graphs(pruned: PrunedModel) -> list[str]:
    """The graphs of a rewritten copy; none where the model itself was changed."""
    return [str(graph) for graph in getattr(pruned.module, "n2n_graphs", ())]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skip_ratio": 0.1},
        {"skip_ratio": 0.3, "skip_pattern": "random", "skip_norm": "always"},
        {"skip": "residual"},
        {"skip": "none"},
        {"criterion": "magnitude", "ignore": ("head",)},
    ],
)
@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_replay_rebuilds_what_apply_made_to_the_bit(either, images, options, engine):
    pruned = apply(either, density=0.5, example_inputs=images, engine=engine, **options)
    for parameter in either.parameters():
        nn.init.constant_(parameter, 0.5)  # the dense model's own weights do not matter
    replayed = again(pruned, either, images)
    assert type(replayed.module) is type(pruned.module)
    assert _graphs(replayed) == _graphs(pruned)
    assert [(n, type(m)) for n, m in replayed.module.named_modules()] == [
        (n, type(m)) for n, m in pruned.module.named_modules()
    ]
    state = pruned.module.state_dict()
    assert list(replayed.module.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in replayed.module.state_dict().items())
    assert (replayed.plan, replayed.record, replayed.masks) == (pruned.plan, pruned.record, pruned.masks)
    for training in (False, True):
        assert torch.equal(replayed.module.train(training)(images), pruned.module.train(training)(images))
    assert enforcer_of(replayed.module).masks == pruned.masks


def test_a_record_of_another_plan_is_refused(pruned, plain, images):
    with pytest.raises(InvalidFileError, match="plan, record and masks do not belong together"):
        again(pruned, plain, images, plan=replace(pruned.plan, structure="another"))


def test_other_masks_than_the_recorded_ones_are_refused(pruned, plain, images):
    flipped = MaskSet({**pruned.masks, "conv1.weight": ~pruned.masks["conv1.weight"]})
    with pytest.raises(InvalidFileError, match="plan, record and masks do not belong together"):
        again(pruned, plain, images, masks=flipped)


def test_another_model_is_refused_with_what_differs(pruned, images):
    other = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4))
    with pytest.raises(InvalidFileError, match=r"not the one that was pruned: weight 0\.weight \(8, 3, 3, 3\); "):
        again(pruned, other, images)


def test_a_model_of_another_width_is_refused_with_both_shapes(pruned, plain, images):
    with pytest.raises(InvalidFileError) as caught:
        again(pruned, type(plain)(width=9), images)
    assert "conv0.weight (8, 3, 3, 3)" in str(caught.value)
    assert "conv0.weight (9, 3, 3, 3)" in str(caught.value)


def variant(plain: nn.Module, forward) -> nn.Module:
    """A model with the modules of `plain` and other code."""
    return type("Variant", (type(plain),), {"forward": forward})()


def test_the_same_layers_with_another_operation_between_them_are_refused(pruned, plain, images):
    def forward(self, x: Tensor) -> Tensor:
        return type(plain).forward(self, x) * 2

    with pytest.raises(InvalidFileError, match="has the weights of the one that was pruned, but not its graph"):
        again(pruned, variant(plain, forward), images)


def test_versions_that_differ_are_named_where_the_graph_does(pruned, plain, images):
    def forward(self, x: Tensor) -> Tensor:
        return type(plain).forward(self, x) * 2

    older = replace(pruned.record, versions=(("torch", "2.0.1"), *pruned.record.versions[2:]))
    with pytest.raises(InvalidFileError, match=rf"\(torch 2\.0\.1 then, {re.escape(torch.__version__)} now\)"):
        again(pruned, variant(plain, forward), images, record=older)


def test_a_model_that_lacks_the_end_of_a_skip_is_refused_with_the_skip(pruned, plain, images):
    def forward(self, x: Tensor) -> Tensor:
        for index in range(5):
            x = self.get_submodule(f"norm{index}")(self.get_submodule(f"conv{index}")(x))
            x = torch.relu(x) if index else x
        return self.head(x.mean((2, 3)))

    with pytest.raises(InvalidFileError, match=r"not the one that was pruned: .*skip conv0 -> conv3"):
        again(pruned, variant(plain, forward), images)


def test_weights_that_do_not_fit_are_refused(pruned, plain, images):
    state = dict(pruned.module.state_dict())
    with pytest.raises(InvalidFileError, match=r"(?s)the stored weights do not fit the model: .*head\.bias"):
        again(pruned, plain, images, state={**state, "head.bias": torch.zeros(5)})
    del state["head.bias"]
    with pytest.raises(InvalidFileError, match=r"(?s)do not fit the model: .*head\.bias"):
        again(pruned, plain, images, state=state)


def test_stored_weights_outside_the_masks_are_refused(pruned, plain, images):
    state = {name: tensor.clone() for name, tensor in pruned.module.state_dict().items()}
    state["conv1.weight"].fill_(1)
    outside = int((~pruned.masks["conv1.weight"]).sum())
    with pytest.raises(InvalidFileError, match=rf"{outside} stored weights of 'conv1\.weight' lie outside the masks"):
        again(pruned, plain, images, state=state)


class IntoTokens(nn.Module):
    """Three convolutions, of which the last one's output becomes tokens before its nonlinearity, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if not index else 4, 4, 3, padding=1) for index in range(3))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.convs[1](torch.relu(self.convs[0](x))))
        return self.head(F.gelu(self.convs[2](x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_skips_and_weights_of_an_older_rule_are_replayed_in_the_same_graph(images, engine, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr("n2nsurgery.graph.layers.layer_finder.channels_moved_last", lambda *_: None)
        pruned = apply(IntoTokens(), density=0.5, example_inputs=images, engine=engine)
    (skip,) = pruned.plan.skips
    assert (skip.pair.target, skip.pair.target_signal.layout) == ("convs.2", "channels_first")
    assert skip.pair not in layer_graph(trace(IntoTokens(), (images,))).pairs
    monkeypatch.setattr("n2nsurgery.graph.layers.layering.prunable_weights", lambda *_: ((), ()))
    assert torch.equal(again(pruned, IntoTokens(), images).module(images), pruned.module(images))
