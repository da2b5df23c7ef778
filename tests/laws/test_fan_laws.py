"""Laws of strict patterns, for any sizes: row and column sums are exact, and what has no whole fans is refused."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import clash_free, draw_masks, expander, fan_out_settings, fixed_fan
from n2nsurgery.masks.criteria.fixed_fan import FixedFan
from n2nsurgery.masks.patterns.fans import fan_in_of, fan_out_at, fan_out_step, nearest_edges

SEEDS = st.integers(0, 2**31)


@st.composite
def junctions(draw) -> tuple[int, int, int]:
    """(n_out, n_in, legal fan-out)."""
    n_out, n_in = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    step = fan_out_step(n_out, n_in)
    return n_out, n_in, step * draw(st.integers(1, n_out // step))


@given(case=junctions(), seed=SEEDS)
def test_a_fixed_fan_has_equal_rows_and_equal_columns(case, seed):
    n_out, n_in, fan_out = case
    mask = fixed_fan(n_out, n_in, fan_out=fan_out, seed=seed)
    assert mask.dtype == torch.bool
    assert mask.shape == (n_out, n_in)
    assert set(mask.sum(0).tolist()) == {fan_out}
    assert set(mask.sum(1).tolist()) == {fan_in_of(n_out, n_in, fan_out)}
    assert torch.equal(mask, fixed_fan(n_out, n_in, fan_out=fan_out, seed=seed))


@given(case=junctions(), seed=SEEDS, data=st.data())
def test_a_clash_free_pattern_has_equal_rows_and_columns_whatever_the_banks(case, seed, data):
    n_out, n_in, fan_out = case
    banks = data.draw(st.sampled_from([None, *(d for d in range(1, n_in + 1) if n_in % d == 0)]))
    try:
        mask = clash_free(n_out, n_in, fan_out=fan_out, seed=seed, banks=banks)
    except BudgetError:  # refused rather than with a double edge
        assume(False)
    assert set(mask.sum(0).tolist()) == {fan_out}
    assert set(mask.sum(1).tolist()) == {fan_in_of(n_out, n_in, fan_out)}


def test_clash_free_reads_every_bank_once_in_every_cycle():
    """Eight banks of depth 8; each right neuron takes 16 reads, which are two whole cycles: two of every bank."""
    mask = clash_free(1024, 64, fan_out=256, seed=3, banks=8)
    by_bank = mask.reshape(1024, 8, 8).sum(1)  # left neuron = address * 8 + bank
    assert set(by_bank.unique().tolist()) == {2}
    assert not set(fixed_fan(1024, 64, fan_out=256, seed=3).reshape(1024, 8, 8).sum(1).unique().tolist()) <= {2}


@given(n_out=st.integers(1, 60), n_in=st.integers(1, 60), seed=SEEDS, data=st.data())
def test_an_expander_has_equal_rows(n_out, n_in, seed, data):
    degree = data.draw(st.integers(0, n_in))
    assert set(expander(n_out, n_in, degree=degree, seed=seed).sum(1).tolist()) == {degree}


@given(n_out=st.integers(1, 60), n_in=st.integers(1, 60), fan_out=st.integers(-3, 70))
def test_an_illegal_fan_out_is_refused_with_legal_neighbours(n_out, n_in, fan_out):
    legal = 1 <= fan_out <= n_out and (n_in * fan_out) % n_out == 0
    if legal:
        assert fan_in_of(n_out, n_in, fan_out) * n_out == n_in * fan_out
        return
    with pytest.raises(BudgetError, match="nearest are") as refusal:
        fixed_fan(n_out, n_in, fan_out=fan_out, seed=0)
    named = [int(text.split()[0]) for text in str(refusal.value).split("nearest are ")[1].split("fan-out ")[1:]]
    assert named
    assert all(fan_in_of(n_out, n_in, near) for near in named)


@given(case=junctions())
def test_a_density_is_the_fan_out_that_has_it(case):
    n_out, n_in, fan_out = case
    assert fan_out_at(n_out, n_in, fan_out / n_out) == fan_out


@given(
    junctions=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=3),
    edges=st.integers(1, 120),
)
def test_settings_are_all_whole_fan_outs_with_so_many_edges(junctions, edges):
    found = list(fan_out_settings(junctions, edges))
    everything = [
        fans
        for fans in np.ndindex(*(n_out for n_out, _ in junctions))
        if all((n_in * (fo + 1)) % n_out == 0 for fo, (n_out, n_in) in zip(fans, junctions, strict=True))
        and sum((fo + 1) * n_in for fo, (_, n_in) in zip(fans, junctions, strict=True)) == edges
    ]
    assert found == [tuple(fo + 1 for fo in fans) for fans in everything]
    if not found:
        reachable = [other for other in range(200) if next(fan_out_settings(junctions, other), None)]
        below, above = [e for e in reachable if e < edges], [e for e in reachable if e > edges]
        assert nearest_edges(junctions, edges) == (*below[-1:], *above[:1])


def test_the_sweeps_of_the_morse_network_have_31_and_63_settings():
    morse = [(1024, 64), (64, 1024)]
    quarter, half = (list(fan_out_settings(morse, edges)) for edges in (32_768, 65_536))
    assert (len(quarter), quarter[0], quarter[-1]) == (31, (16, 31), (496, 1))
    assert (len(half), half[0], half[-1]) == (63, (16, 63), (1008, 1))


# Every row of the paper's Table 1 and appendix: widths, fan-outs, fan-ins, overall density in %, edges. The densities
# are printed so but for 8,704 edges in 4096-512-256-128: they are 0.38496 %, and the paper prints 0.39.
ROWS = [
    ((4096, 512, 16), (1, 1), (8, 32), "0.22", 4_608),
    ((4096, 512, 16), (1, 8), (8, 256), "0.39", 8_192),
    ((4096, 512, 256, 16), (1, 1, 1), (8, 2, 16), "0.22", 4_864),
    ((4096, 512, 256, 16), (1, 1, 8), (8, 2, 128), "0.3", 6_656),
    ((4096, 512, 128), (1, 1), (8, 4), "0.21", 4_608),
    ((4096, 512, 128), (1, 8), (8, 32), "0.38", 8_192),
    ((4096, 512, 128), (1, 32), (8, 128), "0.95", 20_480),
    ((4096, 512, 256, 128), (1, 1, 1), (8, 2, 2), "0.22", 4_864),
    ((4096, 512, 256, 128), (1, 1, 16), (8, 2, 32), "0.38", 8_704),
    ((4096, 512, 256, 128), (1, 2, 32), (8, 4, 64), "0.59", 13_312),
    ((3136, 784, 10), (1, 5), (4, 392), "0.29", 7_056),
    ((3136, 784, 10), (4, 10), (16, 784), "0.83", 20_384),
    ((3136, 784, 10), (16, 10), (64, 784), "2.35", 58_016),
    ((784, 224, 10), (4, 10), (14, 224), "3.02", 5_376),
    ((784, 224, 10), (112, 10), (392, 224), "50.63", 90_048),
    ((64, 1024, 64), (512, 32), (32, 512), "50", 65_536),
    ((64, 1024, 64), (128, 8), (8, 128), "12.5", 16_384),
]


@pytest.mark.parametrize(("widths", "fan_outs", "fan_ins", "printed", "edges"), ROWS)
def test_every_row_of_the_papers_density_table_is_exact(widths, fan_outs, fan_ins, printed, edges):
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    masks = [fixed_fan(*shape, fan_out=fo, seed=0) for shape, fo in zip(shapes, fan_outs, strict=True)]
    for mask, fan_out, fan_in in zip(masks, fan_outs, fan_ins, strict=True):
        assert set(mask.sum(0).tolist()) == {fan_out}
        assert set(mask.sum(1).tolist()) == {fan_in}
    kept, dense = sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    assert kept == edges
    assert f"{100 * kept / dense:.2f}".rstrip("0").rstrip(".") == printed


@given(seed=SEEDS, groups=st.integers(1, 3), outputs=st.integers(1, 6), inputs=st.integers(1, 6))
def test_convolutions_are_regular_between_channels_and_whole_in_their_kernels(seed, groups, outputs, inputs):
    weight = PrunableWeight(name="w", layer="w", shape=(groups * outputs, inputs, 3, 3), layout="conv", groups=groups)
    step = FixedFan().step(weight)
    mask = draw_masks(FixedFan(), [weight], step, seed=seed).masks["w"]
    kernels = mask.flatten(2)
    assert (kernels.all(2) == kernels.any(2)).all()
    channels = kernels.any(2).reshape(groups, outputs, inputs)
    assert len(channels.sum(1).unique()) == 1
    assert len(channels.sum(2).unique()) == 1


def test_impossible_sizes_and_banks_are_refused():
    with pytest.raises(UsageError, match="at least 1"):
        fixed_fan(0, 4, fan_out=1, seed=0)
    with pytest.raises(UsageError, match="must divide"):
        clash_free(4, 6, fan_out=2, seed=0, banks=4)
    with pytest.raises(BudgetError, match=r"must lie in \[0, 4\]"):
        expander(4, 4, degree=5, seed=0)
