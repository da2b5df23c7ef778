"""Each member keeps the promises of its registry, and does what its docstring says."""

import numpy as np
import pytest
import torch
from n2n_example.channel_mean import ChannelMean, ChannelMeanSkip
from n2n_example.fan_in_spread import FanInSpread
from n2n_example.scaled_magnitude import ScaledMagnitude
from n2n_example.spirals import Spirals

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup, Subject
from n2nsurgery.core.errors import UsageError
from n2nsurgery.skips.spec import Alignment
from n2nsurgery.testing import check_criterion, check_data_set, check_metric, check_skip_kind
from n2nsurgery.testing.criteria import scored_network


def test_scaled_magnitude_is_a_criterion():
    check_criterion(ScaledMagnitude)
    check_criterion(ScaledMagnitude(power=2.0))


def test_channel_mean_is_a_skip_kind():
    check_skip_kind(ChannelMean)


def test_fan_in_spread_is_a_metric():
    check_metric(FanInSpread)


def test_spirals_is_a_data_set():
    check_data_set(Spirals(train=60, test=24))


def test_scores_are_magnitudes_times_a_power_of_the_fan_in():
    context = scored_network()
    scores = ScaledMagnitude(power=1.0).scores(context)
    weight = context.module.get_parameter("0.weight")  # 3 inputs times 9 taps
    assert torch.equal(scores["0.weight"], weight.detach().abs() * 27)


def test_a_power_that_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="power is inf"):
        ScaledMagnitude(power=float("inf"))


def test_the_mean_of_the_source_is_added_to_every_channel():
    skip = ChannelMeanSkip(channel_dim=1, alignment=Alignment())
    z, a = torch.zeros(1, 2, 3), torch.tensor([[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]])
    assert torch.equal(skip(z, a), torch.tensor([[[2.0, 3.0, 4.0], [2.0, 3.0, 4.0]]]))


def test_the_spread_is_that_of_the_kept_weights():
    kept = np.array([[1, 0], [2, 1]])  # 1 and 3 weights: mean 2, standard deviation 1
    block = Block(name="fc", sources=np.array([0, 1]), targets=np.array([2, 3]), weights=kept * 0.5, kept=kept, size=8)
    groups = (NodeGroup(name="input", start=0, stop=2), NodeGroup(name="fc", start=2, stop=4))
    graph = ChannelGraph(groups=groups, sources=np.array([0, 1]), sinks=np.array([2, 3]), blocks=(block,))
    assert FanInSpread().measure(Subject(graph=graph), None).quantities["largest"].value == 0.5


def test_without_noise_a_point_lies_on_its_arm():
    inputs, targets = (
        Spirals(train=30, test=10, noise=0.0, turns=0.0, classes=2)
        .load(None, download=False, seed=0)
        .train.batch(torch.arange(30))
    )
    sides = torch.where(targets == 0, 1.0, -1.0)
    assert torch.allclose(inputs[:, 0], inputs.norm(dim=1) * sides, atol=1e-6)  # rounding of sine and cosine
