"""The perceptron's shape."""

import torch
from torch import nn

from n2nsurgery.models.families.mlp import MEMBER


def test_images_are_flattened():
    network = MEMBER(widths=(12, 5), num_classes=3).build()
    images = torch.randn(2, 3, 2, 2)
    assert torch.equal(network(images), network(images.flatten(1)))


def test_every_layer_but_the_last_is_activated():
    network = MEMBER(widths=(12, 5, 4), num_classes=3).build()
    assert [type(layer) for layer in network.layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
