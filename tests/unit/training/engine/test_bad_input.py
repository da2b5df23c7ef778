"""What a sparse run makes of odd batches, empty layers and numbers that are none: right results or one message."""

from __future__ import annotations

import math

import pytest
import torch

from n2nsurgery.core.errors import RunError
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.run import run_training

pytestmark = pytest.mark.usefixtures("library")


class Poisoned:
    """Batches of which the second holds a NaN."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def epoch(self, number, start=0):
        for index, (inputs, targets) in enumerate(self.batches.epoch(number, start), start):
            if index == 1:
                inputs[0, 0] = torch.nan
            yield inputs, targets


@pytest.fixture
def history(mlp, masks_of, config, tmp_path):
    def history(engine, batches, masks=None):
        model = mlp()
        masks = masks_of(model) if masks is None else masks
        return run_training(
            model,
            TrainData(train=batches),
            config(engine=engine),
            folder=tmp_path / engine,
            masks=masks,
            twins=sparse_twin,
        ).history

    return history


@pytest.mark.parametrize("sizes", [{"size": 1}, {"size": 13}, {"size": 16, "last": 3}], ids=["one", "odd", "last"])
def test_batches_of_any_size_train_as_they_do_dense(history, blobs, sizes):
    dense, sparse = (history(engine, blobs(4, **sizes)) for engine in ("dense", "sparse"))
    assert all(math.isclose(a.loss, b.loss, abs_tol=1e-4) for a, b in zip(dense, sparse, strict=True))  # eight steps


def test_a_layer_without_weights_trains_its_bias(history, mlp, masks_of, blobs):
    masks = masks_of(mlp())
    masks["0.weight"] = torch.zeros_like(masks["0.weight"])
    dense, sparse = (history(engine, blobs(4), masks) for engine in ("dense", "sparse"))
    assert all(math.isclose(a.loss, b.loss, abs_tol=1e-4) for a, b in zip(dense, sparse, strict=True))  # eight steps


def test_a_nan_in_the_input_ends_a_sparse_run_as_it_ends_a_dense_one(history, blobs):
    for engine in ("dense", "sparse"):
        with pytest.raises(RunError, match="the loss of step 1 is not finite"):
            history(engine, Poisoned(blobs(4)))
