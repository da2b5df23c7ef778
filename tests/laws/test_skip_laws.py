"""Laws of skips, for any shapes: zero weights change nothing, alignment always arrives, JSON loses nothing."""

import json

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from n2nsurgery.graph.layers.layer_graph import LayerPair, Nonlinearity, Signal
from n2nsurgery.skips.alignment import align, plan_alignment
from n2nsurgery.skips.kind import KINDS, build
from n2nsurgery.skips.spec import SkipSpec

ACTIVATIONS = ["ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Hardswish", "Tanh"]
POOLINGS = ["average", "max", "stride"]


@st.composite
def signals(draw, rank: int) -> Signal:
    channels, layout = draw(st.integers(1, 4)), draw(st.sampled_from(["channels_first", "channels_last"]))
    spatial = tuple(draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank)))
    shape = (channels, *spatial) if layout == "channels_first" else (*spatial, channels)
    return Signal(address="x", shape=shape, layout=layout)


@st.composite
def specs(draw) -> SkipSpec:
    """An n2n skip between any two signals that can be aligned."""
    rank = draw(st.integers(0, 3))
    source, target = draw(signals(rank)), draw(signals(draw(st.sampled_from([0, rank]))))
    plan = plan_alignment(source, target, draw(st.sampled_from(POOLINGS)))
    assume(not isinstance(plan, str))
    nonlinearity = draw(st.none() | st.builds(Nonlinearity, name=st.sampled_from(ACTIVATIONS)))
    pair = LayerPair(
        source="a", target="z", source_signal=source, target_signal=target, length=3, nonlinearity=nonlinearity
    )
    kernel = tuple(draw(st.integers(1, 5)) for _ in target.spatial)
    return SkipSpec(
        name="n2n_skips.0",
        kind="n2n",
        pair=pair,
        align=plan,
        kernel=kernel,
        weight_shape=KINDS.get("n2n")().weight_shape(pair, kernel),
        norm=draw(st.booleans()),
        inner=draw(st.booleans()),
    )


@given(spec=specs(), training=st.booleans(), seed=st.integers(0, 2**31))
def test_a_skip_whose_weights_are_zero_leaves_z_bit_identical(spec, training, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, *spec.pair.target_signal.shape, generator=generator)
    a = torch.randn(3, *spec.pair.source_signal.shape, generator=generator)
    assert torch.equal(build(spec).train(training)(z, a), z)


@given(source=st.integers(0, 3).flatmap(signals), target=st.integers(0, 3).flatmap(signals), data=st.data())
def test_every_pair_of_signals_is_either_aligned_exactly_or_refused_with_a_reason(source, target, data):
    plan = plan_alignment(source, target, data.draw(st.sampled_from(POOLINGS)))
    if isinstance(plan, str):
        assert plan
        return
    aligned = align(torch.zeros(2, *source.shape), plan)
    channels_last = target.layout == "channels_last"
    expected = (*target.spatial, source.channels) if channels_last else (source.channels, *target.spatial)
    assert aligned.shape == (2, *expected)


@given(value=st.floats(-100, 100, width=32), source=st.integers(0, 3).flatmap(signals), data=st.data())
def test_a_constant_activation_stays_constant(value, source, data):
    target = data.draw(signals(len(source.spatial)))
    plan = plan_alignment(source, target, data.draw(st.sampled_from(["max", "stride"])))
    assume(not isinstance(plan, str))
    aligned = align(torch.full((1, *source.shape), value), plan)
    assert bool((aligned == value).all())


@given(spec=specs())
def test_a_spec_comes_back_from_json_unchanged(spec):
    assert SkipSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
