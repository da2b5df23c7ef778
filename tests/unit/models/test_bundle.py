"""The names of a model's inputs."""

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.bundle import input_names


class TwoInputs(nn.Module):
    def forward(self, image, flow=None):
        return image if flow is None else image + flow


class AnyInputs(nn.Module):
    def forward(self, *frames):
        return sum(frames)


X = torch.zeros(1, 3)


def test_names_come_from_forwards_signature():
    assert input_names(TwoInputs(), (X,)) == ("image",)
    assert input_names(TwoInputs(), (X, X)) == ("image", "flow")
    assert input_names(AnyInputs(), (X, X)) == ("frames_0", "frames_1")
    with torch.device("meta"):
        lraspp = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    assert input_names(lraspp, (X,)) == ("input",)


def test_too_many_inputs_are_a_usage_error():
    with pytest.raises(UsageError, match="does not take 3 example inputs"):
        input_names(TwoInputs(), (X, X, X))
