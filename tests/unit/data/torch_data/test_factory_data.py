from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from n2nsurgery.core.errors import RunError, UnknownNameError, UsageError
from n2nsurgery.data.torch_data.factory_data import FactoryData
from n2nsurgery.data.torch_data.split_batches import split_batches
from n2nsurgery.pipelines.training.data_facts import missing_classes

INPUTS, TARGETS = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])


class Noisy(Dataset):
    """Items that draw from the global generator of torch; the labels as torchvision lists them."""

    targets = TARGETS.tolist()
    read = 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        Noisy.read += 1
        return INPUTS[index] + torch.rand(2), self.targets[index]


@pytest.fixture
def load(monkeypatch):
    """The splits of a factory, called with options."""

    def made(factory, root=None, **options):
        module = ModuleType("own_data")
        module.factory = factory
        monkeypatch.setitem(sys.modules, "own_data", module)
        return FactoryData(factory="own_data:factory", options=options).load(root, download=False, seed=4)

    return made


def both(dataset):
    return lambda: {"train": dataset, "test": dataset}


def test_a_factorys_datasets_become_splits_of_the_same_samples(load):
    data = TensorDataset(INPUTS, TARGETS)
    splits = load(lambda: {"train": data, "validation": data, "test": data})
    assert (splits.classes, splits.train.shape, splits.train.size) == (3, (2,), 6)
    assert torch.equal(splits.test.targets, TARGETS)
    inputs, targets = splits.test.batch(torch.tensor([4, 1]))
    assert torch.equal(inputs, INPUTS[[4, 1]])
    assert torch.equal(targets, TARGETS[[4, 1]])
    assert splits.description[0].startswith("own_data:factory: 6 training, 6 validation, 6 test samples")


def test_a_label_that_does_not_count_is_no_missing_class(load):
    labels = torch.tensor([0, 1, -100, 0, 1, 3])
    told = missing_classes(load(both(TensorDataset(INPUTS, labels))))
    assert told[0] == "the training split has no sample of 1 of 4 classes: 2"


def test_a_factory_is_given_its_options_and_what_it_takes_of_the_run(load):
    seen = []

    def factory(size, *, seed, root, scale=1.0):
        seen.append((size, seed, root, scale))
        return both(TensorDataset(INPUTS, TARGETS))()

    load(factory, root=Path("there"), size=3, scale=2.5)
    assert seen == [(3, 4, Path("there"), 2.5)]


def test_targets_that_are_listed_are_not_read_from_the_items(load):
    Noisy.read = 0
    assert torch.equal(load(both(Noisy())).train.targets, TARGETS)
    assert Noisy.read < 12  # a look at the first item, three to compare, the shape: for each of two splits


def test_listed_targets_that_the_items_do_not_hold_are_not_taken(load):
    data = TensorDataset(INPUTS, TARGETS)
    data.targets = TARGETS + 1
    assert torch.equal(load(both(data)).train.targets, TARGETS)


def test_an_item_that_draws_depends_on_epoch_and_index_alone(load):
    split = load(both(Noisy())).train
    batches = split_batches(split, 3, training=True, seed=0)
    first, second = list(batches.epoch(0)), list(batches.epoch(1))
    assert torch.equal(next(iter(batches.epoch(0, 1)))[0], first[1][0])
    assert not torch.equal(first[0][0], second[0][0])
    state = torch.get_rng_state()
    split.batch(torch.tensor([0]))
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_to_predict_count_as_outputs(load):
    splits = load(both(TensorDataset(INPUTS, torch.rand(6, 4, dtype=torch.float64))))
    assert (splits.classes, splits.train.targets.dtype) == (4, torch.float32)
    assert load(both(TensorDataset(INPUTS, torch.rand(6)))).classes == 1


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (7, UsageError, "is a int; a function or class is needed"),
        (lambda: [1], UsageError, "gives a list; a dict of datasets is needed"),
        (lambda: {"training": 1}, UnknownNameError, "unknown split of the data set 'own_data:factory' 'training'"),
        (lambda: {"train": TensorDataset(INPUTS, TARGETS)}, UsageError, "gives no 'test'"),
        (both(iter(())), UsageError, "a map-style Dataset is needed"),
        (both(TensorDataset(INPUTS[:0], TARGETS[:0])), UsageError, "has no samples"),
        (both(INPUTS), UsageError, r"give \(input, target\)"),
        (both(TensorDataset(INPUTS, torch.zeros(6, 2, 2))), UsageError, r"has shape \(2, 2\); a recipe trains on"),
        (lambda: 1 / 0, RunError, "fails: ZeroDivisionError: division by zero"),
        (lambda size: size, UsageError, "needs size: give data.size"),
    ],
)
def test_what_a_factory_cannot_give_is_one_error(load, factory, error, message):
    with pytest.raises(error, match=message):
        load(factory)


def test_an_option_that_a_factory_lacks_names_the_nearest(load):
    with pytest.raises(UnknownNameError, match="'sise'; did you mean 'size'"):
        load(lambda size=1: size, sise=2)


def test_a_factory_that_is_not_there_is_wrong_usage():
    with pytest.raises(UsageError, match="the data set 'json:nothing' is not found: module 'json' has no attribute"):
        FactoryData(factory="json:nothing").load(None, download=False, seed=0)
    with pytest.raises(UsageError, match=r"the data set 'no_such\.py:a' is not found: there is no file 'no_such\.py'"):
        FactoryData(factory="no_such.py:a").load(None, download=False, seed=0)
    with pytest.raises(UsageError, match="the data set 'no_such_module:a' is not found; install its package"):
        FactoryData(factory="no_such_module:a").load(None, download=False, seed=0)


def test_a_factory_may_stand_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n"
        "def two(seed):\n    data = TensorDataset(torch.eye(2), torch.arange(2))\n"
        "    return {'train': data, 'test': data, 'classes': seed}\n"
    )
    splits = FactoryData(factory=f"{file}:two").load(None, download=False, seed=5)
    assert (splits.train.size, splits.classes) == (2, 5)
