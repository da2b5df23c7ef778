from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu, cuda or cuda:N"),
        ({"num_classes": 0}, "num_classes is 0; it must be a whole number from 1 or left out"),
        ({"input_size": (3, 0)}, "input_size is (3, 0); it must be a list, each a whole number from 1 or left out"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(values, message):
    with pytest.raises(UsageError) as raised:
        ApplyRequest(model="resnet18", surgery=SurgeryConfig(density=0.05), **values)
    assert str(raised.value) == message
    assert raised.value.field in values


def test_what_is_said_of_a_file_of_weights_needs_the_file():
    with pytest.raises(UsageError, match="weights_key, weights_prefix and weights_ignore are of a file; name it"):
        ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), weights_prefix="backbone.")
