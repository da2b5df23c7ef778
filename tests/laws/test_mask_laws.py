"""Laws of masks, for any sizes: counts are exact, patterns are balanced, ties and subsets are as promised."""

from fractions import Fraction
from math import prod

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import (
    ALLOCATIONS,
    GRANULARITIES,
    MaskSet,
    allocate,
    balanced_mask,
    budget,
    one_to_one,
    pack,
    topk,
    topk_global,
    unpack,
)
from n2nsurgery.masks.grid import from_grid, grid_of, to_grid

SEEDS = st.integers(0, 2**31)


@st.composite
def weights(draw) -> PrunableWeight:
    """A small weight of any layout; grouped and depthwise ones among them."""
    layouts = ["conv", "conv_transpose", "linear", "matrix", "input_first", "linear_stack", "matrix_stack"]
    layout = draw(st.sampled_from(layouts))
    if layout in {"linear", "matrix", "input_first"}:
        shape = draw(st.lists(st.integers(1, 12), min_size=2, max_size=2) | st.lists(st.integers(1, 5), min_size=3))
        return PrunableWeight(name="w", layer="w", shape=tuple(shape[:4]), layout=layout)
    groups, first, second = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    if layout.endswith("stack"):
        return PrunableWeight(name="w", layer="w", shape=(groups, first, second), layout=layout, groups=groups)
    kernel = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    return PrunableWeight(name="w", layer="w", shape=(groups * first, second, *kernel), layout=layout, groups=groups)


@st.composite
def partly_kept(draw) -> tuple[PrunableWeight, int]:
    weight = draw(weights())
    return weight, draw(st.integers(0, weight.numel))


def spread(counts: np.ndarray) -> int:
    """The difference between the largest and the smallest count."""
    return int(counts.max() - counts.min())


@given(case=partly_kept(), seed=SEEDS)
def test_a_random_pattern_has_the_exact_count_and_serves_all_channels_equally(case, seed):
    weight, count = case
    mask = balanced_mask(weight, count, np.random.default_rng(seed))
    kept = to_grid(mask.numpy(), weight)
    assert mask.shape == weight.shape
    assert mask.sum() == count
    assert spread(kept.sum(axis=(2, 3))) <= 1
    assert spread(kept.sum(axis=(1, 3))) <= 1


@given(case=partly_kept(), seed=SEEDS)
def test_no_pair_of_channels_is_doubly_served_while_its_channel_lacks_another(case, seed):
    weight, count = case
    pairs = to_grid(balanced_mask(weight, count, np.random.default_rng(seed)).numpy(), weight).sum(axis=3)
    # Each channel of the smaller side takes every partner once before it takes one twice.
    hands = pairs if grid_of(weight).outputs <= grid_of(weight).inputs else pairs.swapaxes(1, 2)
    assert (hands.max(axis=2) - hands.min(axis=2)).max() <= 1


@given(case=partly_kept(), seed=SEEDS)
def test_whole_kernels_are_kept_but_for_one(case, seed):
    weight, count = case
    taps = grid_of(weight).taps
    mask = balanced_mask(weight, count, np.random.default_rng(seed), granularity="kernel")
    kernels = to_grid(mask.numpy(), weight).sum(axis=3)
    assert mask.sum() == count
    assert sorted(set(kernels[(kernels > 0) & (kernels < taps)])) == ([count % taps] if count % taps else [])
    assert ((kernels > 0) & (kernels < taps)).sum() <= 1
    assert spread((kernels > 0).sum(axis=2)) <= 1
    assert spread((kernels > 0).sum(axis=1)) <= 1


@given(case=partly_kept(), granularity=st.sampled_from(GRANULARITIES.names()), seed=SEEDS)
def test_the_same_seed_draws_the_same_pattern(case, granularity, seed):
    weight, count = case
    first, second = (
        balanced_mask(weight, count, np.random.default_rng(seed), granularity=granularity) for _ in range(2)
    )
    assert torch.equal(first, second)


@given(n_out=st.integers(1, 20), n_in=st.integers(1, 20), share=st.floats(0, 1), seed=SEEDS)
def test_one_to_one_gives_a_target_one_source_and_uses_sources_equally(n_out, n_in, share, seed):
    count = round(share * n_out)
    mask = one_to_one(n_out, n_in, count, np.random.default_rng(seed)).numpy()
    assert mask.shape == (n_out, n_in)
    assert mask.sum() == count
    assert mask.sum(axis=1).max() <= 1
    assert spread(mask.sum(axis=0)) <= 1


@given(weight=weights(), seed=SEEDS)
def test_the_grid_and_the_weight_hold_the_same_values(weight, seed):
    values = np.random.default_rng(seed).random(weight.shape)
    assert np.array_equal(from_grid(to_grid(values, weight), weight), values)


FEW_VALUES = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf])


@given(values=st.lists(FEW_VALUES, min_size=1, max_size=30), cut=st.integers(0, 30), data=st.data())
def test_top_k_is_what_a_stable_sort_puts_first(values, cut, data):
    k = data.draw(st.integers(0, len(values)))
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    expected = torch.zeros(len(values), dtype=torch.bool)
    expected[order[:k]] = True
    scores = torch.tensor(values)
    assert torch.equal(topk(scores, k), expected)
    parts = topk_global({"a": scores[:cut], "b": scores[cut:]}, k)
    assert torch.equal(torch.cat([parts["a"], parts["b"]]), expected)


@given(values=st.lists(FEW_VALUES, min_size=1, max_size=30), data=st.data())
def test_a_smaller_k_keeps_a_subset(values, data):
    large = data.draw(st.integers(0, len(values)))
    small = data.draw(st.integers(0, large))
    scores = torch.tensor(values)
    assert not (topk(scores, small) & ~topk(scores, large)).any()


@given(values=st.lists(st.tuples(FEW_VALUES, st.booleans()), min_size=1, max_size=30), data=st.data())
def test_what_must_be_kept_is_kept_and_counted(values, data):
    scores, keep = torch.tensor([v for v, _ in values]), torch.tensor([flag for _, flag in values])
    k = data.draw(st.integers(int(keep.sum()), len(values)))
    mask = topk(scores, k, keep=keep)
    assert mask.sum() == k
    assert mask[keep].all()
    assert torch.equal(mask[~keep], topk(scores[~keep], k - int(keep.sum())))


SHAPES = st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple), min_size=1, max_size=8)


@given(shapes=SHAPES, rule=st.sampled_from(ALLOCATIONS.names()), data=st.data())
def test_an_allocation_is_exact_and_within_its_bounds(shapes, rule, data):
    sizes = [prod(shape) for shape in shapes]
    least = [data.draw(st.integers(0, size)) for size in sizes]
    total = data.draw(st.integers(sum(least), sum(sizes)))
    names = [f"layer{i}" for i in range(len(shapes))]
    counts = allocate(
        dict(zip(names, shapes, strict=True)),
        total,
        rule,
        least=dict(zip(names, least, strict=True)),
        generator=np.random.default_rng(0),
    )
    assert list(counts) == names
    assert sum(counts.values()) == total
    assert all(low <= counts[name] <= size for name, low, size in zip(names, least, sizes, strict=True))


@given(shapes=SHAPES, share=st.floats(0, 1))
def test_uniform_allocation_is_within_one_weight_of_the_exact_share(shapes, share):
    sizes = {f"layer{i}": prod(shape) for i, shape in enumerate(shapes)}
    total = round(share * sum(sizes.values()))
    counts = allocate(dict(zip(sizes, shapes, strict=True)), total, "uniform")
    assert all(abs(counts[name] - Fraction(total * size, sum(sizes.values()))) < 1 for name, size in sizes.items())


@given(reference=st.integers(1, 10**9), density=st.floats(1e-3, 1), ratio=st.floats(0, 0.99))
def test_a_budget_adds_up(reference, density, ratio):
    if round(density * reference) == 0:
        return
    made = budget(reference, density=density, skip_ratio=ratio)
    assert made.total == round(density * reference)
    assert made.skips == round(ratio * made.total)
    assert made.sequential + made.skips == made.total


@given(shapes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple), max_size=4), seed=SEEDS)
def test_packed_masks_come_back_the_same(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    masks = MaskSet({f"w{i}": torch.rand(shape, generator=generator) < 0.5 for i, shape in enumerate(shapes)})
    assert unpack(pack(masks), {name: tuple(mask.shape) for name, mask in masks.items()}) == masks
