"""Operations of RandAugment and TrivialAugment are torchvision's; what is drawn depends on the sample alone."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.augmentation import OPERATIONS, Augmentation, augmented
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.sample_rng import SampleRng
from n2nsurgery.data.sets.npz import Npz

IMAGES = torch.randint(256, (6, 3, 20, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
THEIRS = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "saturation": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_at_every_magnitude_is_that_of_torchvision(operation, wide):
    theirs = v2.TrivialAugmentWide() if wide else v2.RandAugment()
    magnitudes, signed = theirs._AUGMENTATION_SPACE[THEIRS[operation]]
    steps = magnitudes(31, 20, 24)
    for step in range(0, 31, 3):
        for negative in (False, True):
            magnitude = 0.0 if steps is None else round(float(steps[step]), 4) * (-1 if negative and signed else 1)
            expected = theirs._apply_image_or_video_transform(
                IMAGES[0], THEIRS[operation], magnitude, interpolation=v2.InterpolationMode.NEAREST, fill=theirs._fill
            )
            found = augmented(IMAGES[0], operation, step, negative=negative, wide=wide)
            # Magnitudes are float32 there, rounded here to 4 digits: a pixel's source may be its neighbour's.
            differing = (found.int() - expected.int()).abs() > 1
            assert differing.float().mean() < 0.02


def test_the_operations_are_all_of_torchvisions():
    assert {THEIRS[name] for name in OPERATIONS} == set(v2.RandAugment()._AUGMENTATION_SPACE)


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_what_a_sample_looks_like_depends_on_the_sample_and_the_epoch_alone(policy):
    data = InMemoryDataset(values=IMAGES, normalization=unit(3), augmentation=Augmentation(policy=policy, erasing=0.5))
    before = torch.random.get_rng_state()
    whole = data.read(torch.arange(6), SampleRng(salt=7))
    parts = torch.cat([data.read(torch.tensor(part), SampleRng(salt=7)) for part in ([0, 1, 2, 3], [4, 5])])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, data.read(torch.arange(6), SampleRng(salt=8)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(data.read(torch.arange(6), None), unit(3).apply(IMAGES))


def test_a_rectangle_is_erased_of_the_part_of_the_images_that_is_asked_for():
    values = torch.ones(2000, 1, 12, 12)
    found = Augmentation(erasing=0.3).erased(values, torch.arange(2000), SampleRng(salt=1))
    erased = (found == 0).flatten(1).sum(1)
    # 4 standard deviations of a share of 2000 are 0.041.
    assert abs(float((erased > 0).float().mean()) - 0.3) < 0.041
    assert erased.max() <= 0.34 * 144 + 12  # a third of the area, its sides rounded


def test_images_that_are_no_bytes_are_refused():
    with pytest.raises(UsageError, match="augment = randaugment needs images in uint8"):
        Augmentation(policy="randaugment").images(torch.zeros(1, 3, 4, 4), torch.arange(1), SampleRng(salt=0))


def test_erasing_needs_an_augmentation():
    with pytest.raises(UsageError, match=r"random_erasing = 0\.2: it must be from 0 to 1, and 0 where augment is none"):
        Npz(random_erasing=0.2)
