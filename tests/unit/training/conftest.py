"""A separable task of 8 features and 3 classes, batches that are a pure function of their place, small networks."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig

FEATURES, CLASSES = 8, 3


class Blobs:
    """`count` batches of `size` samples; those of process `rank` are its part of every batch of all `processes`."""

    def __init__(self, count=5, *, size=12, rank=0, processes=1, shape=(FEATURES,), last=None):
        self.count, self.size, self.rank, self.processes, self.shape = count, size, rank, processes, shape
        self.last = last or size

    def __len__(self):
        return self.count

    def epoch(self, number, start=0):
        for index in range(start, self.count):
            generator = torch.Generator().manual_seed(1000 * number + index)
            size = self.last if index == self.count - 1 else self.size
            targets = torch.randint(CLASSES, (size,), generator=generator)
            inputs = torch.randn(size, *self.shape, generator=generator)
            inputs.view(size, -1)[torch.arange(size), targets] += 2
            yield inputs[self.rank :: self.processes], targets[self.rank :: self.processes]


def perceptron(dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(FEATURES, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, CLASSES)]
        return nn.Sequential(*layers)


def convolutional():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolutions = [nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2)]
        return nn.Sequential(*convolutions, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES))


def random_masks(model, density=0.3):
    generator = torch.Generator().manual_seed(7)
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    return {name: torch.rand(p.shape, generator=generator) < density for name, p in weights.items()}


def train_config(*, optimizer=None, schedule=None, **fields):
    return TrainConfig(
        optimizer=OptimizerConfig(**{"lr": 0.1, **(optimizer or {})}),
        schedule=ScheduleConfig(**{"name": "constant", **(schedule or {})}),
        **{"epochs": 2, "batch_size": 12, "device": "cpu", **fields},
    )


def stored_tensors(checkpoint):
    files = read_sealed(checkpoint, "checkpoint")
    return {(group, name): value for group, named in files.tensors.items() for name, value in named.items()}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Thousands of small files are written; what a flush protects from, a loss of power, no test can show."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def blobs():
    return Blobs


@pytest.fixture
def mlp():
    return perceptron


@pytest.fixture
def convnet():
    return convolutional


@pytest.fixture
def masks_of():
    return random_masks


@pytest.fixture
def tensors_of():
    return stored_tensors


@pytest.fixture
def same():
    """Whether the last checkpoints of two outcomes hold the same bits."""

    def compared(one, other):
        a, b = stored_tensors(one.last), stored_tensors(other.last)
        return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)

    return compared


@pytest.fixture
def config():
    return train_config
