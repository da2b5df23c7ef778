"""What a caller may call data, and what is said of the rest."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import IterableDataset

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.torch_data.sources import BatchOptions, batches_of

INPUTS, TARGETS = torch.arange(60.0).reshape(30, 2), torch.arange(30)
OPTIONS = BatchOptions(batch_size=16, seed=0)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(INPUTS, TARGETS, strict=True))


class SizedStream(Stream):
    def __len__(self):
        return 30


@pytest.mark.parametrize("source", [Stream(), SizedStream()])
def test_an_evaluation_reads_a_stream_to_its_end_in_every_epoch(source):
    batches = batches_of(source, "validation", OPTIONS, training=False)
    for epoch in range(2):
        assert torch.cat([targets for _, targets in batches.epoch(epoch)]).tolist() == TARGETS.tolist()
    assert len(batches) >= 2


def test_training_drops_a_smaller_last_batch_of_a_stream():
    assert [len(targets) for _, targets in batches_of(SizedStream(), "training", OPTIONS, training=True).epoch(0)] == [
        16
    ]


def test_a_stream_without_a_length_needs_the_batches_of_an_epoch_in_training():
    with pytest.raises(UsageError, match=r"a DataLoader, has no length; say how many .* with batches_per_epoch"):
        batches_of(Stream(), "training", OPTIONS, training=True)


def test_a_generator_that_was_read_before_is_called_that():
    batches = batches_of((pair for pair in [(INPUTS, TARGETS)]), "validation", OPTIONS, training=False)
    assert len(list(batches.epoch(0))) == 1
    with pytest.raises(UsageError, match="is empty, or was read before and cannot be read again, as a generator"):
        list(batches.epoch(1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((INPUTS, TARGETS), r"is a tuple of 2, each taken for one sample .* first is a Tensor: give TensorDataset\("),
        ([INPUTS, TARGETS], r"is a list of 2, each taken for one sample .* first is a Tensor: give TensorDataset\("),
        ({"x": INPUTS}, "is a dict of 1 entries, which has no samples by number: give"),
    ],
)
def test_tensors_that_are_no_samples_are_called_that(data, message, training):
    with pytest.raises(UsageError, match=message):
        batches_of(data, "training", OPTIONS, training=training)


def test_a_list_of_batches_is_told_that_it_is_taken_for_samples():
    with pytest.raises(
        UsageError, match=r"each taken for one sample .*, and a batch has 16: .* iterable that is no list"
    ):
        batches_of([(INPUTS, TARGETS)], "training", OPTIONS, training=True)


def test_a_list_of_samples_is_a_dataset():
    found = batches_of(list(zip(INPUTS, TARGETS, strict=True)), "validation", OPTIONS, training=False)
    assert [len(targets) for _, targets in found.epoch(0)] == [16, 14]
