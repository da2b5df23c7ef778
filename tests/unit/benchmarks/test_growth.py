"""Exchanges of kept weights: exact counts, ties by index, and tensors that empty."""

import pytest
import torch
from growth import exchanged, exchanged_by_layer, fraction_at, relative_magnitude, saliency
from hypothesis import given
from hypothesis import strategies as st


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def drawn(seed, density):
    generator = torch.Generator().manual_seed(seed)
    masks = {name: torch.rand(shape, generator=generator) < density for name, shape in SHAPES.items()}
    # Few different values, so that ties are the rule.
    scores = [
        {name: torch.randint(3, shape, generator=generator).float() for name, shape in SHAPES.items()} for _ in "ab"
    ]
    return masks, *scores


SHAPES = {"layer": (4, 3, 3, 3), "skip": (5, 4), "vector": (7, 2)}
seeds, fractions = st.integers(0, 2**16), st.floats(0, 1)


@given(seeds, fractions, fractions)
def test_an_exchange_keeps_the_count_and_moves_exactly_the_fraction_that_fits(seed, density, fraction):
    masks, importance, interest = drawn(seed, density)
    found = exchanged(masks, importance, interest, fraction)
    moved = sum(int((found[name] & ~mask).sum()) for name, mask in masks.items())
    free = sum(mask.numel() for mask in masks.values()) - kept(masks)
    assert kept(found) == kept(masks)
    assert moved == min(round(fraction * kept(masks)), free)


@given(seeds, fractions, fractions)
def test_what_is_dropped_matters_least_and_what_is_grown_interests_most(seed, density, fraction):
    masks, importance, interest = drawn(seed, density)
    found = exchanged(masks, importance, interest, fraction)

    def values(scores, chosen):
        return torch.cat([scores[name][chosen(masks[name], found[name])] for name in masks])

    dropped = values(importance, lambda before, after: before & ~after)
    stayed = values(importance, lambda before, after: before & after)
    grown = values(interest, lambda before, after: ~before & after)
    passed = values(interest, lambda before, after: ~before & ~after)
    assert not dropped.numel() or not stayed.numel() or dropped.max() <= stayed.min()
    assert not grown.numel() or not passed.numel() or grown.min() >= passed.max()


@given(seeds, fractions, fractions)
def test_by_layer_every_tensor_keeps_its_count(seed, density, fraction):
    masks, importance, interest = drawn(seed, density)
    found = exchanged_by_layer(masks, importance, interest, fraction)
    assert {name: int(mask.sum()) for name, mask in found.items()} == {n: int(m.sum()) for n, m in masks.items()}


def test_among_equals_the_first_stay_and_the_first_grow():
    masks = {"one": torch.tensor([True, True, False, False]), "two": torch.tensor([True, True, False, False])}
    equal = {name: torch.ones(4) for name in masks}
    found = exchanged(masks, equal, equal, 0.5)
    assert found["one"].tolist() == [True, True, True, True]
    assert found["two"].tolist() == [False] * 4


def test_a_tensor_may_vanish_and_an_empty_one_may_fill():
    masks = {"weak": torch.tensor([True, True]), "strong": torch.ones(2).bool(), "empty": torch.zeros(2).bool()}
    weights = {"weak": torch.tensor([0.1, 0.1]), "strong": torch.tensor([5.0, 5.0]), "empty": torch.zeros(2)}
    found = exchanged(masks, weights, {name: torch.ones(2) for name in masks}, 0.5)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "weak": [False, False], "strong": [True, True], "empty": [True, True],
    }  # fmt: skip
    again = exchanged(found, relative_magnitude(weights, found), {name: torch.ones(2) for name in masks}, 0.25)
    assert kept(again) == kept(found)


def test_relative_magnitude_compares_weights_with_those_kept_beside_them():
    weights = {"one": torch.tensor([3.0, -4.0, 100.0]), "two": torch.tensor([0.3, -0.4, 0.0]), "none": torch.ones(3)}
    masks = {
        "one": torch.tensor([True, True, False]), "two": torch.tensor([True, True, False]),
        "none": torch.zeros(3).bool(),
    }  # fmt: skip
    found = relative_magnitude(weights, masks)
    # Both tensors have the same proportions; float32 rounds each quotient.
    torch.testing.assert_close(found["one"][:2], torch.tensor([3.0, 4.0]) / 12.5**0.5)
    torch.testing.assert_close(found["two"][:2], found["one"][:2])
    assert all(bool(torch.isfinite(scores).all()) for scores in found.values())
    zeros = {name: torch.zeros(3) for name in masks}
    assert not any(scores.any() for scores in relative_magnitude(zeros, masks).values())


def test_saliency_is_the_product_without_its_sign():
    found = saliency({"one": torch.tensor([2.0, -3.0])}, {"one": torch.tensor([-1.0, -0.5])})
    assert found["one"].tolist() == [2.0, 1.5]


@pytest.mark.parametrize(("step", "due"), [(0, False), (59, False), (60, True), (61, False), (390, True), (420, False)])
def test_updates_are_due_every_thirty_steps_until_three_quarters(step, due):
    assert (fraction_at(step, 558, 0.3) > 0) is due


def test_the_fraction_only_falls_and_never_exceeds_its_start():
    fractions = [found for step in range(558) if (found := fraction_at(step, 558, 0.3))]
    assert fractions == sorted(fractions, reverse=True)
    assert 0 < fractions[-1] < fractions[0] < 0.3
