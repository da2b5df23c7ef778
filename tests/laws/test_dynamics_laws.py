"""Laws of kept places in exchange, for any weight: exact numbers, uniform growth, and nothing carried that was not."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.masks.patterns.exchange import carried, grown_at_random, joined
from n2nsurgery.training.dynamics import DYNAMICS, KeptWeight, Moment
from n2nsurgery.training.schedules import Span

SEEDS = st.integers(0, 2**31)


@st.composite
def kept(draw) -> tuple[torch.Tensor, int]:
    """(places, numel)."""
    numel = draw(st.integers(1, 80))
    chosen = draw(st.sets(st.integers(0, numel - 1)))
    return torch.tensor(sorted(chosen), dtype=torch.int64), numel


@given(case=kept(), seed=SEEDS, data=st.data())
def test_growth_takes_free_places_alone_each_once(case, seed, data):
    places, numel = case
    count = data.draw(st.integers(0, numel - len(places)))
    grown = grown_at_random(places, numel, count, np.random.default_rng(seed))
    assert grown.dtype == torch.int64
    assert len(grown) == count
    union = joined(places, grown).tolist()
    assert union == sorted(set(union))
    assert len(union) == len(places) + count
    assert all(0 <= place < numel for place in union)
    assert torch.equal(grown, grown_at_random(places, numel, count, np.random.default_rng(seed)))


def test_every_set_of_free_places_is_grown_equally_often():
    """Three of six free places: 20 sets, each 250 times in 5,000 draws, within five standard deviations."""
    places, generator = torch.tensor([1, 4, 7]), np.random.default_rng(0)
    for count in (2, 3, 4):
        found: dict[tuple[int, ...], int] = {}
        for _ in range(5000):
            key = tuple(grown_at_random(places, 9, count, generator).tolist())
            found[key] = found.get(key, 0) + 1
        sets = {2: 15, 3: 20, 4: 15}[count]
        assert len(found) == sets
        assert all(abs(times - 5000 / sets) < 5 * (5000 / sets) ** 0.5 for times in found.values())


@given(former=kept(), data=st.data())
def test_values_are_carried_to_places_that_stay_and_are_zero_elsewhere(former, data):
    places, numel = former
    later = torch.tensor(sorted(data.draw(st.sets(st.integers(0, numel - 1)))), dtype=torch.int64)
    dense = torch.zeros(numel)
    dense[places] = torch.arange(1.0, len(places) + 1)
    assert torch.equal(carried(dense[places], places, later), dense[later])


@given(
    cases=st.lists(kept(), min_size=1, max_size=3),
    name=st.sampled_from(["set", "itop", "rigl"]),
    step=st.integers(1, 90),
    seed=SEEDS,
)
def test_an_exchange_keeps_the_number_of_every_weight_and_its_largest_entries(cases, name, step, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = {
        str(index): KeptWeight(
            places=places, values=torch.randn(len(places), generator=generator), numel=numel,
            gradient=torch.randn(numel, generator=generator),
        )
        for index, (places, numel) in enumerate(cases)
    }  # fmt: skip
    rule = DYNAMICS.get(name)()
    total = sum(weight.kept for weight in weights.values())
    moment = Moment(step=step, span=Span(steps_per_epoch=10, epochs=10), kept=total, seed=seed)
    for key, found in rule.places(weights, moment).items():
        weight = weights[key]
        count = rule.count(weight, moment)
        assert len(found) == weight.kept
        new = ~torch.isin(found, weight.places)
        assert int(new.sum()) == count
        dropped = ~torch.isin(weight.places, found)
        if count and count < weight.kept:
            assert weight.values[dropped].abs().max() <= weight.values[~dropped].abs().min()
        if name == "rigl" and count and count < weight.free:
            left = torch.ones(weight.numel, dtype=torch.bool).index_fill(0, joined(weight.places, found[new]), False)
            assert weight.gradient[found[new]].abs().min() >= weight.gradient[left].abs().max()


@given(
    start=st.integers(1, 10**6), final=st.floats(0.01, 1), steps=st.integers(2, 3000), every=st.integers(1, 200),
    until=st.floats(0.1, 1), part=st.floats(0, 0.99),
)  # fmt: skip
def test_gradual_pruning_falls_to_exactly_its_final_number(start, final, steps, every, until, part):
    rule = DYNAMICS.get("gmp")(final=final, every=every, until=until, begin=part * until)
    span = Span(steps_per_epoch=steps, epochs=1)
    if round(final * start) < 1:
        return
    counts = [rule.kept(start, step, span) for step in range(steps + 1)]
    assert counts[0] == start
    assert counts[-1] == round(final * start)
    assert all(a >= b for a, b in pairwise(counts))
    changed = [step for step in range(1, steps + 1) if counts[step] != counts[step - 1]]
    assert all(rule.is_due(step, span) for step in changed)
    due = [step for step in range(1, steps + 1) if rule.is_due(step, span)]
    assert due[-1] == max(1, round(until * steps))
