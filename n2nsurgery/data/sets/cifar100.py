"""Data set `cifar100`: 50,000 training and 10,000 test images of 32 x 32 in 100 (fine) classes (Krizhevsky 2009)."""

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
    name="cifar100",
    classes=100,
    label_bytes=2,
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    remote=Remote(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        size=168_513_733,
        digest="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    pickled=("cifar-100-python", "cifar-100-python.tar.gz"),
    # The values of Deep Expander Networks (Prabhu et al. 2018), whose recipe the N2NSkip paper trains with.
    normalization=Normalization(mean=(129.3 / 255, 124.1 / 255, 112.4 / 255), std=(68.2 / 255, 65.4 / 255, 70.4 / 255)),
)


@dataclass(frozen=True, kw_only=True)
class Cifar100(ImageOptions):
    """The binary version, or images; training images are shifted and mirrored by default."""

    augment: Augment = field(default="standard", metadata=option("what training images go through"))

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return load_cifar(_CIFAR, self, root, download=download, seed=seed)


MEMBER = Cifar100
