from __future__ import annotations

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.mixing import mix

INPUTS = torch.arange(4.0).reshape(4, 1)


def mixed(targets, classes=3):
    return mix(INPUTS, targets, classes, "mixup", 1.0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("targets", [INPUTS, INPUTS[:, 0], INPUTS.expand(4, 3)])
def test_values_are_mixed_as_the_inputs_are(targets):
    inputs, found = mixed(targets)
    assert not torch.equal(inputs, INPUTS)
    torch.testing.assert_close(found, inputs.reshape(4, *[1] * (targets.ndim - 1)).expand(targets.shape))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 1, -100, 2]), "classes from 0 to 2, and a label is -100; a label that does not count cannot"),
        (torch.tensor([0, 1, 3, 2]), "classes from 0 to 2, and a label is 3"),
        (torch.zeros(4, 2, dtype=torch.int64), r"these are torch.int64 of shape \(4, 2\)"),
    ],
)
def test_labels_that_are_no_classes_are_not_mixed(targets, message):
    with pytest.raises(UsageError, match=message):
        mixed(targets)
