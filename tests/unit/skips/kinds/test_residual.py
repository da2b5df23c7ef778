"""Eq. 1: the activation itself, with channels padded or cut."""

import pytest
import torch

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.layers.layer_graph import LayerPair, Signal
from n2nsurgery.skips.alignment import plan_alignment
from n2nsurgery.skips.kind import build
from n2nsurgery.skips.spec import SkipSpec


def residual(source: Signal, target: Signal, **changes) -> SkipSpec:
    pair = LayerPair(source="a", target="z", source_signal=source, target_signal=target, length=2)
    return SkipSpec(name="n2n_skips.0", kind="residual", pair=pair, align=plan_alignment(source, target), **changes)


def signal(*shape: int, layout: str = "channels_first") -> Signal:
    return Signal(address="x", shape=shape, layout=layout)


def test_equation_1_adds_the_activation_itself():
    z, a = torch.randn(2, 2, 3, 4, 4)
    skip = build(residual(signal(3, 4, 4), signal(3, 4, 4)))
    assert torch.equal(skip(z, a), z + a)
    assert not list(skip.parameters())


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_missing_channels_are_zero_and_surplus_ones_are_cut(layout):
    few = signal(*((2, 4, 4) if layout == "channels_first" else (4, 4, 2)), layout=layout)
    many = signal(*((5, 4, 4) if layout == "channels_first" else (4, 4, 5)), layout=layout)
    dim = 1 if layout == "channels_first" else -1
    a_few, a_many = torch.randn(2, *few.shape), torch.randn(2, *many.shape)
    padded = build(residual(few, many))(torch.zeros_like(a_many), a_few)
    cut = build(residual(many, few))(torch.zeros_like(a_few), a_many)
    assert torch.equal(padded.narrow(dim, 0, 2), a_few)
    assert not padded.narrow(dim, 2, 3).any()
    assert torch.equal(cut, a_many.narrow(dim, 0, 2))


def test_a_vector_receives_the_mean_of_a_map():
    skip = build(residual(signal(3, 4, 4), signal(5)))
    a = torch.ones(2, 3, 4, 4)
    assert skip(torch.zeros(2, 5), a).tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0]] * 2


def test_a_residual_skip_with_weights_is_refused():
    with pytest.raises(InvalidFileError, match="has no weights"):
        build(residual(signal(3, 4, 4), signal(3, 4, 4), weight_shape=(3, 3, 1, 1)))
