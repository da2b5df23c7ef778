"""The forms in which data may be handed in."""

from itertools import repeat

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.batch import GIVEN, Batch, batches

X, Y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    ("data", "number", "inputs", "has_targets"),
    [
        (Batch(inputs=(X,), targets=Y), 1, 1, True),
        (X, 1, 1, False),
        ((X, Y), 1, 1, True),
        (((X, X), Y), 1, 2, True),
        ([(X, Y), (X, Y)], 2, 1, True),
        ([[X, Y]], 1, 1, True),
        ([X, X, X], 3, 1, False),
        ([X, X], 2, 1, False),
        (iter([Batch(inputs=(X,))]), 1, 1, False),
    ],
)
def test_every_form_becomes_a_list_of_batches(data, number, inputs, has_targets):
    found = batches(data)
    assert [len(batch.inputs) for batch in found] == [inputs] * number
    assert all((batch.targets is not None) == has_targets for batch in found)
    assert all(batch.origin == GIVEN and batch.size == 4 for batch in found)


def test_a_loader_gives_its_first_batches_and_an_endless_one_ends():
    loader = DataLoader(TensorDataset(torch.arange(10.0).view(10, 1), torch.arange(10)), batch_size=2)
    found = batches(loader, count=2)
    assert [batch.targets.tolist() for batch in found] == [[0, 1], [2, 3]]
    assert len(batches(repeat(X), count=3)) == 3


def test_a_batch_keeps_its_origin():
    assert batches([Batch(inputs=(X,), origin="cifar10")])[0].origin == "cifar10"


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        ({"x": X}, None, "data of type str"),
        (3, None, "data of type int"),
        ((X, Y, X), None, "data of type tuple"),
        ((X, "label"), None, "data of type tuple"),
        ([], None, "holds 0 batches; 1 are needed"),
        ([X], 2, "holds 1 batches; 2 are needed"),
        ([X], 0, "at least 1"),
        ((X, Y[:3]), None, r"equally many samples.*\[4, 3\]"),
        (torch.tensor(1.0), None, "equally many samples"),
    ],
)
def test_other_forms_are_refused_saying_what_is_allowed(data, count, message):
    with pytest.raises(UsageError, match=message):
        batches(data, count=count)
