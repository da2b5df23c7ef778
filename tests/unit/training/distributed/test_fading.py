"""Skips that fade in two processes: as in one, and a run that is stopped on the way resumes to the same bits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.distributed.distributed_launch import launch
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.run import run_training

TRAINING = """
import importlib.util, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)

def loaded(name, path):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module

tools, here = loaded("conftest", sys.argv[2]), loaded("fading", sys.argv[3])
from n2nsurgery.core.errors import InterruptionError
from n2nsurgery.training.distributed.distributed import joined
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.run import run_training

class Stopping(tools.Blobs):
    def epoch(self, number, start=0):
        for index, pair in enumerate(super().epoch(number, start), start):
            if (number, index, self.rank) == (0, 4, 1):
                os.kill(os.getpid(), signal.SIGTERM)
            yield pair

def train(processes, name, batches_of, **options):
    data = TrainData(train=batches_of(6, rank=processes.rank, processes=2))
    run_training(
        here.network(), data, here.faded(tools.train_config), folder=Path(sys.argv[1], name), processes=processes,
        branches=["skip"], **options
    )

with joined("cpu") as processes:
    assert processes.size == 2
    train(processes, "whole", tools.Blobs)
    try:
        train(processes, "stopped", Stopping)
    except InterruptionError:
        pass
    else:
        raise AssertionError("the wish of process 1 was not granted")
    train(processes, "stopped", tools.Blobs, resume=True)
"""


class Sum(nn.Module):
    """A skip as surgery makes them: called with the target's value and the source's."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, z, a):
        return z + self.weight * a


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.skip = Sum()

    def forward(self, x):
        a = self.first(x).relu()
        return self.last(self.skip(self.second(a), a).relu())


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Skipping()


def faded(made):
    """12 steps, in the fourth to ninth of which the skip fades; the run is stopped after the fifth."""
    return made(skip_fade=FadingConfig(begin=0.25, until=0.75), checkpoint_steps=2)


def losses(folder):
    return [json.loads(line)["train"]["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def last_weights(folder):
    last = max(path for path in (folder / "checkpoints").iterdir() if path.name.startswith("e"))
    return read_sealed(last, "checkpoint").tensors["model"]


def test_two_processes_fade_as_one_and_resume_exactly(blobs, config, tmp_path):
    launch([sys.executable, "-c", TRAINING, str(tmp_path), str(Path(__file__).parents[1] / "conftest.py"), __file__], 2)
    whole, stopped = (last_weights(tmp_path / name) for name in ("whole", "stopped"))
    assert losses(tmp_path / "whole") == losses(tmp_path / "stopped")
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(value, stopped[name]) for name, value in whole.items())
    run_training(network(), TrainData(train=blobs(6)), faded(config), folder=tmp_path / "alone", branches=["skip"])
    # The same sums in another order: float32 roundings, carried through 12 steps of momentum.
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)
