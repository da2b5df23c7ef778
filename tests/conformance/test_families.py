"""What every built-in model family promises, for all members of the registry."""

import pytest
import torch
from torchvision.models import list_models

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.family import FAMILIES
from n2nsurgery.testing.families import FAMILY_CHECKS

every_family = pytest.mark.parametrize("name", FAMILIES.names())


def weights_of(name: str, **options) -> int:
    """Number of weights (biases and norms not counted), without allocating any."""
    with torch.device("meta"):
        module = FAMILIES.get(name)(**options).build()
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


@every_family
@pytest.mark.parametrize("check", FAMILY_CHECKS, ids=lambda check: check.__name__)
def test_a_family_keeps_its_promises(name, check):
    check(FAMILIES.get(name)())


@every_family
def test_no_name_hides_one_of_torchvision(name):
    assert name not in list_models()


@every_family
def test_an_unknown_option_names_the_nearest(name):
    with pytest.raises(UnknownNameError, match="did you mean 'num_classes'"):
        resolve_model(name, seed=0, options={"num_clases": 3})


# By hand: VGG19 sums 9 * in * out over its 16 convolutions, and 512 per class; ResNet50 is torchvision's 23,454,912
# convolution weights with a stem of 1,728 instead of 9,408, and 2,048 per class; the small ResNets sum their
# stem, their stages (the first block with a projection where it changes the shape) and 128 or 64 per class.
@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("cifar-vgg19", {}, 20_018_880 + 5_120),
        ("cifar-vgg19", {"num_classes": 100}, 20_018_880 + 51_200),
        ("cifar-vgg19", {"batch_norm": False}, 20_018_880 + 5_120),
        ("cifar-resnet50", {}, 23_454_912 - 9_408 + 1_728 + 20_480),
        ("cifar-resnet50", {"num_classes": 100}, 23_454_912 - 9_408 + 1_728 + 204_800),
        ("cifar-plain17", {}, 9 * (3 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 13 * 64 * 64) + 640),
        ("cifar-plain17", {"num_classes": 100}, 511_920 + 6_400),
        ("cifar-tiny-resnet", {}, 432 + 3_648 + 14_592 + 58_368 + 1_280),
        ("cifar-basic-resnet", {}, 432 + 13_824 + 51_200 + 204_800 + 640),
        ("cifar-basic-resnet", {"num_classes": 100}, 270_256 + 6_400),
        ("mlp", {}, 3072 * 512 + 512 * 256 + 256 * 128 + 128 * 64),
        ("mlp", {"widths": (8, 4), "num_classes": 2}, 8 * 4 + 4 * 2),
        # Convolutions 9 * (3*64 + 64*64 + 64*128 + 128*128 + 128*256 + 256*256) = 1,144,512; junctions as printed.
        ("cifar-conv-2cl", {"padded": True}, 1_144_512 + 2_105_344),
        ("cifar-conv-3cl", {"padded": True}, 1_144_512 + 2_232_320),
        ("cifar-conv-2cl", {"padded": True, "num_classes": 100}, 1_144_512 + 2_162_688),
        ("cifar-conv-3cl", {"padded": True, "num_classes": 100}, 1_144_512 + 2_260_992),
        ("mnist-conv-2cl", {}, 25 * (32 + 32 * 64) + 2_466_464),
        ("mnist-cl", {"hidden": (224,)}, 177_856),
        ("mnist-cl", {"hidden": (), "padded": True}, 1024 * 16),
        ("morse", {}, 131_072),
    ],
)
def test_a_family_has_exactly_these_weights(name, options, weights):
    assert weights_of(name, **options) == weights
