"""How many times faster the loader prepares CIFAR batches than a network on the same cores consumes them.

Augmented batches of 128 images of 32 x 32 against forward and backward passes of the CIFAR-VGG19 family, each alone and
on all threads that torch takes; then images decoded when they are read.

    uv run python benchmarks/loader.py
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset
from n2nsurgery.data.pipeline.lazy import LazyDataset
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.splits import Source, Split
from n2nsurgery.models.families.cifar_vgg19 import CifarVgg19

BATCH = 128
IMAGES = 20_000


def rate(work: Callable[[], object], times: int, runs: int = 3) -> float:
    """Most repetitions per second of wall clock over `runs` runs of `times` repetitions."""
    fastest = 0.0
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(times):
            work()
        fastest = max(fastest, times / (time.perf_counter() - start))
    return fastest


def loader(source: Source, size: int, workers: int) -> Loader:
    positions = torch.arange(size)
    split = Split(
        name="training", classes=10, source=source, positions=positions, targets=positions % 10, augmented=True
    )
    return Loader(split, BATCH, shuffle=True, seed=0, augment=True, drop_last=True, workers=workers)


def images_per_second(source: Source, size: int, workers: int) -> float:
    made = loader(source, size, workers)
    return BATCH * len(made) * rate(lambda: [None for _ in made.epoch(0)], 1)


def step() -> Callable[[], object]:
    """One forward and backward pass of CIFAR-VGG19 on a batch."""
    network = CifarVgg19().build()
    inputs, targets = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10

    def work() -> None:
        network.zero_grad()
        F.cross_entropy(network(inputs), targets).backward()

    return work


def photos(count: int) -> LazyDataset:
    """Distinct names for a few photos of 500 x 375, about the mean size of ImageNet's."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, size=(8, 12, 16, 3), dtype=np.uint8)
    encoded = []
    for pixels in coarse:
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    return LazyDataset(encoded=lambda i: encoded[i % 8], names=("photo",) * count, size=224, normalization=unit(3))


def main() -> None:
    values = torch.randint(256, (IMAGES, 3, 32, 32), generator=torch_generator(0, "benchmark"), dtype=torch.uint8)
    held = InMemoryDataset(values=values, normalization=unit(3))
    consumed = BATCH * rate(step(), 2)
    print(f"torch threads: {torch.get_num_threads()}")
    print(f"CIFAR-VGG19 forward and backward: {consumed:,.0f} images/s")
    for workers in (0, 1, 2):
        found = images_per_second(held, IMAGES, workers)
        print(f"loader, {workers} workers: {found:,.0f} images/s, {found / consumed:.0f} times the network (>= 5)")
    for workers in (0, 2):
        found = images_per_second(photos(4 * BATCH), 4 * BATCH, workers)
        print(f"loader of 500 x 375 JPEGs at 224, {workers} workers: {found:,.0f} images/s")


if __name__ == "__main__":
    main()
