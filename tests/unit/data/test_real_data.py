"""Sets on the data they were made for."""

import pytest
import torch

from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.registry import DATA_SETS


def test_mnist_is_the_set_that_everybody_knows(real_data):
    splits = DATA_SETS.get("mnist")(validation=10_000).load(real_data("MNIST"), download=False, seed=0)
    assert (splits.train.size, splits.validation.size, splits.test.size) == (50_000, 10_000, 10_000)
    assert torch.bincount(splits.test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    inputs, _ = splits.train.batch(torch.arange(50_000))
    # 0.1307 and 0.3081 are the moments of all 60,000; those of 50,000 of them are within 1 %.
    assert abs(float(inputs.mean())) < 0.01
    assert abs(float(inputs.std()) - 1) < 0.01


def test_the_distance_to_class_means_tells_digits_apart(real_data):
    splits = DATA_SETS.get("mnist")(train_limit=2000).load(real_data("MNIST"), download=False, seed=0)
    inputs, targets = splits.train.batch(torch.arange(2000))
    means = torch.stack([inputs[targets == label].mean(0) for label in range(10)]).flatten(1)
    tested, labels = splits.test.batch(torch.arange(2000))
    found = torch.cdist(tested.flatten(1), means).argmin(1)
    # The nearest mean is right on about 80 % of MNIST; shuffled labels would give 10 %.
    assert (found == labels).float().mean() > 0.7


@pytest.mark.slow
def test_cifar10_is_read_from_its_archive_of_images(real_data):
    root = real_data("cifar10-images.tar.gz")
    splits = DATA_SETS.get("cifar10")(validation=5000).load(root, download=False, seed=0)
    assert (splits.train.size, splits.validation.size, splits.test.size) == (45_000, 5_000, 10_000)
    assert torch.bincount(splits.test.targets).tolist() == [1000] * 10
    assert torch.bincount(splits.validation.targets).tolist() == [500] * 10
    inputs, _ = splits.test.batch(torch.arange(10_000))
    # The recipe's moments are those of the training images before they were compressed as JPEG.
    assert inputs.mean((0, 2, 3)).abs().max() < 0.03
    assert (inputs.std((0, 2, 3)) - 1).abs().max() < 0.03
    loader = Loader(splits.train, 128, shuffle=True, seed=0, augment=True, drop_last=True, workers=2)
    assert sum(inputs.shape[0] for inputs, _ in loader.epoch(0)) == 351 * 128
