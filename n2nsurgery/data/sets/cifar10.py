"""Data set `cifar10`: 50,000 training and 10,000 test images of 32 x 32 in 10 classes (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.options import option
from n2nsurgery.data.assembly.cifar import Cifar, load_cifar
from n2nsurgery.data.assembly.options import Augment, ImageOptions
from n2nsurgery.data.files.download import Remote
from n2nsurgery.data.pipeline.normalization import Normalization
from n2nsurgery.data.pipeline.splits import DataSplits

_CIFAR = Cifar(
    name="cifar10",
    classes=10,
    label_bytes=1,
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test=("test_batch.bin",),
    remote=Remote(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        size=170_052_171,
        digest="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    pickled=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    # The values of Deep Expander Networks (Prabhu et al. 2018), whose recipe the N2NSkip paper trains with.
    normalization=Normalization(mean=(125.3 / 255, 123.0 / 255, 113.9 / 255), std=(63.0 / 255, 62.1 / 255, 66.7 / 255)),
)


@dataclass(frozen=True, kw_only=True)
class Cifar10(ImageOptions):
    """The binary version, or images; training images are shifted and mirrored by default."""

    augment: Augment = field(default="standard", metadata=option("what training images go through"))

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return load_cifar(_CIFAR, self, root, download=download, seed=seed)


MEMBER = Cifar10
