from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.connectivity.paths.scatter_vector import scatter
from n2nsurgery.experiments.predefined.networks import MORSE, Network
from n2nsurgery.experiments.predefined.patterns import Pattern, assorted

FAN_OUTS = (128, 8)
KINDS = st.sampled_from(["fixed fan", "clustered", "skewed"])


@given(KINDS, st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 99))
def test_every_pattern_has_the_edges_of_its_fan_outs(kind, strengths, seed):
    one, two = Pattern(kind=kind, strengths=strengths, seed=seed).draw(MORSE, FAN_OUTS, (64,))
    assert (one.shape, two.shape) == ((1024, 64), (64, 1024))
    assert set(one.sum(1)) == {8}
    assert set(two.sum(1)) == {128}


def test_the_same_seed_draws_the_same_pattern_and_another_another():
    drawn = [
        Pattern(kind="clustered", strengths=(0.5, 0.5), seed=seed).draw(MORSE, FAN_OUTS, (64,))[0] for seed in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_right_neuron_that_reads_one_window_has_the_lowest_scatter():
    clustered = scatter(Pattern(kind="clustered", strengths=(1.0, 1.0), seed=0).draw(MORSE, FAN_OUTS, (64,)))
    assert clustered.minimum == pytest.approx(1 / 8)  # 1 of 8 windows; junction 2 reaches 1 of 128, but see below
    fair = scatter(Pattern(kind="fixed fan", strengths=(), seed=0).draw(MORSE, FAN_OUTS, (64,)))
    assert fair.minimum > 0.6  # about 1 - 1/e for random ones


def test_clusters_of_an_image_are_pixels_that_scatter_sees_together():
    network = Network(name="image", widths=(64, 16, 4), rows=())
    clustered = Pattern(kind="clustered", strengths=(1.0, 1.0), seed=0)
    for shape in ((64,), (8, 8)):  # fan-in 4: windows of 16 inputs, in a line or a square
        one, two = clustered.draw(network, (1, 2), shape)
        assert scatter((one, two), (shape, (16,), (4,))).vector[0] == pytest.approx(1 / 4)
        assert set(one.sum(0)) == {1}  # together they read every pixel once
    square = clustered.draw(network, (1, 2), (8, 8))[0][0].reshape(8, 8)
    assert square[:4, :4].sum() == 4


def test_skew_leaves_some_left_neurons_with_most_of_the_edges():
    fair, skewed = (
        Pattern(kind="skewed", strengths=(s, s), seed=0).draw(MORSE, FAN_OUTS, (64,))[0].sum(0) for s in (0.0, 2.0)
    )
    assert skewed.max() > 2 * fair.max()
    assert skewed.min() < fair.min() / 2


def test_the_collection_holds_every_pattern_once():
    patterns = list(assorted(3, (0.0, 0.5, 1.0), (0.0, 1.0), seed=5))
    assert len(patterns) == len(set(patterns)) == 4 * 3 + 3 * (8 + 2)
