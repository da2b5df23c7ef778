"""The structure of the CIFAR networks."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from n2nsurgery.models.families.cifar_basic_resnet import MEMBER as BASIC
from n2nsurgery.models.families.cifar_resnet50 import MEMBER as RESNET50
from n2nsurgery.models.families.cifar_tiny_resnet import MEMBER as TINY
from n2nsurgery.models.families.cifar_vgg19 import MEMBER as VGG19


def _build(family, **options) -> nn.Module:
    with torch.device("meta"):
        return family(**options).build()


def _count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(child, kind) for child in module.modules())


def test_vgg19_has_16_convolutions_5_pools_and_one_linear_layer():
    network = _build(VGG19)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Linear)
    assert [_count(network, kind) for kind in kinds] == [16, 16, 16, 5, 1]
    assert all(layer.bias is None for layer in network.features if isinstance(layer, nn.Conv2d))


def test_vgg19_without_batch_norm_has_biases_instead():
    network = _build(VGG19, batch_norm=False)
    assert _count(network, nn.BatchNorm2d) == 0
    assert all(layer.bias is not None for layer in network.features if isinstance(layer, nn.Conv2d))


def test_resnet50_keeps_the_resolution_up_to_the_first_block_and_torchvisions_names():
    network = _build(RESNET50, num_classes=1000)
    stem = network.conv1(torch.empty(1, 3, 32, 32, device="meta"))
    assert network.maxpool(stem).shape == (1, 64, 32, 32)
    with torch.device("meta"):
        original = resnet50()
    assert list(network.state_dict()) == list(original.state_dict())


@pytest.mark.parametrize(
    ("family", "sizes", "projected"), [(TINY, (32, 16, 8), (1, 2, 3)), (BASIC, (16, 8, 4), (2, 3))]
)
def test_small_resnets_halve_the_maps_twice_and_project_where_the_shape_changes(family, sizes, projected):
    network = _build(family)
    maps = network.relu(network.norm(network.conv(torch.empty(1, 3, 32, 32, device="meta"))))
    for number, size in enumerate(sizes, start=1):
        stage = network.get_submodule(f"stage{number}")
        maps = stage(maps)
        assert maps.shape[2:] == (size, size)
        assert [block.downsample is not None for block in stage] == [number in projected, False, False]
