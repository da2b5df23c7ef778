"""Generated samples: learnable where there is a signal, and only there."""

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.registry import DATA_SETS

Fake = DATA_SETS.get("fake")


def nearest_mean_accuracy(splits):
    inputs, targets = (tensor.flatten(1) if tensor.ndim > 1 else tensor for tensor in splits.train.batch(EVERY[:500]))
    means = torch.stack([inputs[targets == label].mean(0) for label in range(splits.classes)])
    tested, labels = splits.test.batch(EVERY[:200])
    return float((torch.cdist(tested.flatten(1), means).argmin(1) == labels).float().mean())


EVERY = torch.arange(500)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 9, 7), (64,)])
def test_classes_can_be_told_by_their_pattern(shape):
    def accuracy(signal):
        fake = Fake(shape=shape, train=500, test=200, signal=signal)
        return nearest_mean_accuracy(fake.load(None, download=False, seed=0))

    assert accuracy(1.0) > 0.95
    # Without a signal 10 classes are guessed: 0.1, with a standard error of 0.021 over 200 samples; 6 of them.
    assert accuracy(0.0) < 0.23


def test_values_have_variance_1():
    splits = Fake(train=500, signal=3.0).load(None, download=False, seed=0)
    # 16 squares x 3 channels x 10 classes are 480 pattern values, whose variance has a standard error of 0.065.
    assert abs(float(splits.train.batch(EVERY)[0].var()) - 1) < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (3, 4)}, r"shape = \(3, 4\)"),
        ({"shape": (0,)}, r"shape = \(0,\)"),
        ({"classes": 0}, "classes is 0; it must be at least 1"),
        ({"signal": -1.0}, "signal = -1.0"),
        ({"signal": float("nan")}, "signal = nan"),
        ({"train": 10**9}, "would be generated"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Fake(**options)
