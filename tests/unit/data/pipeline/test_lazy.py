"""Large images: the windows they are seen through, and the centre that evaluation takes."""

import io

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from n2nsurgery.data.pipeline.lazy import LazyDataset, centre, random_window, window
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.sample_rng import SampleRng


def photo(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(height, width, 3), dtype=np.uint8))


def test_evaluation_is_torchvisions_resize_and_centre_crop():
    image = photo(90, 70)
    reference = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image)
    assert np.array_equal(np.asarray(centre(image, 224)), np.asarray(reference))


def test_windows_have_the_stated_areas_and_ratios():
    draws = SampleRng(salt=1).uniform(torch.arange(2000), 41).tolist()
    windows = [window(200, 300, numbers) for numbers in draws]
    areas = np.array([high * wide / 60_000 for _, _, high, wide in windows])
    ratios = np.array([wide / high for _, _, high, wide in windows])
    # Sides are rounded to pixels; the shortest is about 60, so that area and ratio move by less than 2 %.
    assert areas.min() > 0.08 * 0.98
    assert areas.max() <= 1
    assert ratios.min() > 3 / 4 * 0.98
    assert ratios.max() < 4 / 3 * 1.02
    assert areas.std() > 0.15
    assert 0.45 < np.mean(ratios > 1) < 0.65  # the landscape image admits wide windows more often


def test_where_no_window_fits_the_middle_is_taken():
    assert window(10, 1000, [0.999] * 41) == (0, 493, 10, 13)
    assert window(1000, 10, [0.999] * 41) == (493, 0, 13, 10)


def test_a_window_is_mirrored_by_the_last_draw():
    image = photo(50, 60)
    draws = [0.5] * 40
    plain, mirrored = (np.asarray(random_window(image, [*draws, last], 20)) for last in (0.5, 0.49))
    assert np.array_equal(plain, mirrored[:, ::-1])


def test_a_sample_gets_its_draws_whatever_is_beside_it():
    buffer = io.BytesIO()
    photo(40, 50).save(buffer, "PNG")
    source = LazyDataset(encoded=lambda _: buffer.getvalue(), names=("x",) * 9, size=24, normalization=unit(3))
    rng = SampleRng(salt=3)
    together = source.read(torch.tensor([4, 7, 1]), rng)
    assert together.shape == (3, 3, 24, 24)
    assert torch.equal(together[1:2], source.read(torch.tensor([7]), rng))
    assert not torch.equal(together[0], together[1])
    assert torch.equal(*source.read(torch.tensor([4, 7]), None))
