"""Laws of splits and of the loader, for any sizes: nothing lost, nothing twice, and resumable anywhere."""

from itertools import islice

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.assembly.assembly import Part, Selection, assemble
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset, shift_and_mirror
from n2nsurgery.data.pipeline.lazy import window
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.mixing import mix
from n2nsurgery.data.pipeline.normalization import measured, unit
from n2nsurgery.data.pipeline.sample_rng import SampleRng
from n2nsurgery.data.pipeline.splits import Split
from n2nsurgery.data.pipeline.subset import carve, limited

SEEDS = st.integers(0, 2**31)


def split_of(size: int) -> Split:
    """Images of 4 x 4 without two alike; the targets number them."""
    values = torch.randint(256, (size, 1, 4, 4), generator=torch_generator(0, "test"), dtype=torch.uint8)
    source = InMemoryDataset(values=values, normalization=unit(1))
    positions = torch.arange(size)
    return Split(name="training", classes=size, source=source, positions=positions, targets=positions, augmented=True)


@st.composite
def loaders(draw, world_size=1):
    size = draw(st.integers(1, 40))
    batch_size = world_size * draw(st.integers(1, 12))
    drop_last = draw(st.booleans())
    shuffle = draw(st.booleans())
    assume(size >= batch_size or not drop_last)
    assume(not shuffle or drop_last or not 0 < size % batch_size < world_size)
    options = {"shuffle": shuffle, "seed": draw(SEEDS), "augment": draw(st.booleans()), "drop_last": drop_last}
    return lambda **more: Loader(split_of(size), batch_size, **options | more)


def same(left, right) -> bool:
    left, right = list(left), list(right)
    return len(left) == len(right) and all(
        torch.equal(a, b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)
    )


@given(make=loaders(), epoch=st.integers(0, 5))
def test_an_epoch_covers_each_sample_once(make, epoch):
    loader = make()
    targets = [target for _, batch in loader.epoch(epoch) for target in batch.tolist()]
    assert len(set(targets)) == len(targets)
    dropped = loader.split.size % loader.batch_size if loader.drop_last else 0
    assert len(targets) == loader.split.size - dropped
    assert len(list(loader.epoch(epoch))) == len(loader)
    assert loader.shuffle or targets == list(range(len(targets)))


@given(make=loaders(), epoch=st.integers(0, 5), data=st.data())
def test_an_epoch_resumed_in_its_middle_is_the_tail_of_the_epoch(make, epoch, data):
    loader = make()
    start = data.draw(st.integers(0, len(loader)))
    assert same(loader.epoch(epoch, start), islice(loader.epoch(epoch), start, None))


@given(data=st.data(), world_size=st.integers(2, 4), epoch=st.integers(0, 3))
def test_the_ranks_share_out_the_batch_of_one_rank(data, world_size, epoch):
    make = data.draw(loaders(world_size=world_size))
    ranks = [list(make(rank=rank, world_size=world_size).epoch(epoch)) for rank in range(world_size)]
    together = [
        tuple(torch.cat([rank[index][part] for rank in ranks if index < len(rank)]) for part in (0, 1))
        for index in range(max(map(len, ranks)))
    ]
    assert same(together, make().epoch(epoch))
    assert [len(rank) for rank in ranks] == [len(make(rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert len(set(map(len, ranks))) == 1 or not make().shuffle


class InOrder(InMemoryDataset):
    """A planted fault: what a sample gets depends on its place in the batch."""

    def read(self, positions, rng):
        values = super().read(positions, None)
        return values if rng is None else values + rng.uniform(torch.arange(len(positions)), 1)[:, :, None, None]


def test_a_source_that_draws_in_the_order_of_the_batch_is_found():
    held = split_of(8)
    faulty = InOrder(values=held.source.values, normalization=held.source.normalization)
    split = Split(
        name="faulty", classes=8, source=faulty, positions=held.positions, targets=held.targets, augmented=True
    )
    options = {"shuffle": True, "seed": 0, "augment": True, "drop_last": True}
    one, two = (
        next(Loader(split, 8, rank=world_size - 1, world_size=world_size, **options).epoch(0))[0]
        for world_size in (1, 2)
    )
    assert not torch.equal(one[4:], two)


@given(make=loaders(), workers=st.integers(1, 3))
def test_workers_change_nothing(make, workers):
    assert same(make(workers=workers).epoch(1), make().epoch(1))


@given(make=loaders(), limit=st.integers(1, 5))
def test_a_limit_keeps_the_first_batches(make, limit):
    assert same(make(limit=limit).epoch(0), islice(make().epoch(0), limit))
    assert len(make(limit=limit)) == min(limit, len(make()))


def test_epochs_and_seeds_differ_in_order_and_augmentation():
    def targets_and_inputs(seed, epoch):
        loader = Loader(split_of(32), 32, shuffle=True, seed=seed, augment=True, drop_last=True)
        inputs, targets = next(loader.epoch(epoch))
        return targets, inputs[targets.argsort()]

    reference = targets_and_inputs(0, 0)
    for other in (targets_and_inputs(0, 1), targets_and_inputs(1, 0)):
        assert not torch.equal(reference[0], other[0])
        assert not torch.equal(reference[1], other[1])


@pytest.mark.parametrize(
    ("batch_size", "options", "message"),
    [
        (0, {}, "batch_size = 0"),
        (5, {"world_size": 2}, "multiple of their number, 2"),
        (4, {"rank": 2, "world_size": 2}, "rank = 2"),
        (4, {"workers": -1}, "workers = -1"),
        (4, {"limit": 0}, "limit = 0"),
        (40, {"drop_last": True}, "fewer than one batch of 40"),
        (4, {"rank": 0, "world_size": 4}, "last batch has 3 samples for 4 ranks"),
    ],
)
def test_a_loader_that_cannot_work_is_refused(batch_size, options, message):
    with pytest.raises(UsageError, match=message):
        Loader(split_of(31), batch_size, **{"shuffle": True, "seed": 0, "augment": False, "drop_last": False} | options)


def test_an_epoch_may_be_left_early_and_an_error_of_a_worker_arrives():
    loader = Loader(split_of(32), 4, shuffle=True, seed=0, augment=False, drop_last=True, workers=2)
    batches = loader.epoch(0)
    next(batches)
    batches.close()
    broken = Split(name="x", classes=1, source=None, positions=torch.arange(8), targets=torch.zeros(8).long())
    with pytest.raises(AttributeError):
        list(Loader(broken, 4, shuffle=True, seed=0, augment=False, drop_last=True, workers=2).epoch(0))
    with pytest.raises(UsageError, match="epoch 0, batch 9"):
        loader.epoch(0, 9)


@given(seed=SEEDS, count=st.integers(1, 7), data=st.data())
def test_draws_are_uniform_numbers_of_a_position_alone(seed, count, data):
    rng = SampleRng(salt=seed)
    positions = torch.tensor(data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=9)))
    together = rng.uniform(positions, count)
    assert torch.equal(together, torch.cat([rng.uniform(position[None], count) for position in positions]))
    assert together.min() >= 0
    assert together.max() < 1


def test_draws_fill_the_interval_evenly_and_do_not_repeat():
    numbers = SampleRng(salt=5).uniform(torch.arange(20_000), 3)
    assert numbers.unique().numel() == numbers.numel()
    # 6 standard errors of a mean of 20,000 uniform numbers are 0.0122.
    assert (numbers.mean(0) - 0.5).abs().max() < 0.0122
    # The correlation of 20,000 independent pairs has standard error 0.0071; 6 of them.
    assert (torch.corrcoef(numbers.T) - torch.eye(3)).abs().max() < 0.0424


@given(seed=SEEDS, size=st.integers(3, 9), padding=st.integers(1, 3))
def test_shifting_and_mirroring_is_a_crop_of_the_padded_image(seed, size, padding):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (5, 2, size, size + 1), generator=generator, dtype=torch.uint8)
    draws = torch.rand((5, 3), generator=generator).double()
    found = shift_and_mirror(images, draws, padding)
    for image, (row, column, mirror), ours in zip(images, draws.tolist(), found, strict=True):
        padded = torch.zeros((2, size + 2 * padding, size + 1 + 2 * padding), dtype=torch.uint8)
        padded[:, padding:-padding, padding:-padding] = image
        top, left = int(row * (2 * padding + 1)), int(column * (2 * padding + 1))
        crop = padded[:, top : top + size, left : left + size + 1]
        assert torch.equal(ours, crop.flip(2) if mirror < 0.5 else crop)


@given(height=st.integers(1, 500), width=st.integers(1, 500), seed=SEEDS)
def test_a_random_window_lies_inside_the_image(height, width, seed):
    draws = SampleRng(salt=seed).uniform(torch.tensor([0]), 41)[0].tolist()
    top, left, high, wide = window(height, width, draws)
    assert 0 <= top <= top + high <= height
    assert 0 <= left <= left + wide <= width
    assert high > 0
    assert wide > 0


CLASSES = st.lists(st.integers(0, 3), min_size=4, max_size=60).map(torch.tensor)


@given(targets=CLASSES, seed=SEEDS, data=st.data())
def test_carving_parts_the_samples_in_the_proportions_of_the_classes(targets, seed, data):
    count = data.draw(st.integers(1, len(targets) - 1))
    kept, carved = carve(targets, count, seed=seed)
    assert sorted([*kept.tolist(), *carved.tolist()]) == list(range(len(targets)))
    assert len(carved) == count
    expected = torch.bincount(targets, minlength=4) * count / len(targets)
    # An exact share is rounded up or down, and a half may go either way in the order of all classes.
    assert (torch.bincount(targets[carved], minlength=4) - expected).abs().max() <= 2
    assert len(carve(targets, 0.5, seed=seed)[1]) == round(len(targets) / 2)


@given(targets=CLASSES, seed=SEEDS, data=st.data())
def test_a_smaller_limit_is_a_subset_and_serves_every_class_as_far_as_it_reaches(targets, seed, data):
    limit = data.draw(st.integers(1, len(targets)))
    fewer = limited(targets, max(1, limit - 1), seed=seed)
    chosen = limited(targets, limit, seed=seed)
    assert set(fewer.tolist()) <= set(chosen.tolist())
    counts, available = torch.bincount(targets[chosen], minlength=4), torch.bincount(targets, minlength=4)
    assert all(n == all_of_it or n >= counts.max() - 1 for n, all_of_it in zip(counts, available, strict=True))


@given(seed=SEEDS)
def test_validation_samples_are_never_augmented_and_never_trained_on(seed):
    values = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 1, 4, 4)
    part = Part(source=InMemoryDataset(values=values, normalization=unit(1)), targets=torch.arange(20) % 2)
    selection = Selection(seed=seed, validation=6, train_limit=8)
    splits = assemble(
        classes=2, train=part, test=part, selection=selection, augmented=True, description=("constant images",)
    )
    assert (splits.train.augmented, splits.validation.augmented, splits.test.augmented) == (True, False, False)
    assert not set(splits.train.positions.tolist()) & set(splits.validation.positions.tolist())
    assert (splits.train.size, splits.validation.size) == (8, 6)


@given(seed=SEEDS, kind=st.sampled_from(["uint8", "float32"]), vectors=st.booleans())
def test_a_measured_normalization_gives_mean_0_and_deviation_1(seed, kind, vectors):
    shape = (50, 3) if vectors else (50, 3, 4, 4)
    values = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    values = values.to(getattr(torch, kind))
    found = measured(values, value_range=255 if kind == "uint8" else 1).apply(values).transpose(0, 1).flatten(1)
    # float32 rounds values of order 1 to 1e-7; means of 50 or 800 of them stay far below.
    assert found.mean(1).abs().max() < 1e-5
    assert (found.std(1, correction=0) - 1).abs().max() < 1e-5


@given(seed=SEEDS, kind=st.sampled_from(["mixup", "cutmix"]), alpha=st.sampled_from([0.1, 1.0, 5.0]))
def test_mixed_targets_say_what_mixed_inputs_are_made_of(seed, kind, alpha):
    targets = torch.tensor([0, 3, 2, 1])
    inputs = torch.nn.functional.one_hot(targets, 5).float()[:, :, None, None].expand(4, 5, 6, 7)
    generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
    (mixed, soft), again = (mix(inputs, targets, 5, kind, alpha, generator) for generator in generators)
    assert torch.equal(mixed, again[0])
    # Each class is one channel, so the mean of a channel is its class's share; 42 float32 values are averaged.
    assert (mixed.mean((2, 3)) - soft).abs().max() < 1e-6
    assert (soft.sum(1) - 1).abs().max() < 1e-6
