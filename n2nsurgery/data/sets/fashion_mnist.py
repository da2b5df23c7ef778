"""Data set `fashion-mnist`: 60,000 training and 10,000 test images of clothes, 28 x 28 (Xiao, Rasul, Vollgraf 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.data.assembly.mnist import IdxSet, load_idx_set
from n2nsurgery.data.assembly.options import ImageOptions
from n2nsurgery.data.files.download import Remote
from n2nsurgery.data.pipeline.normalization import Normalization
from n2nsurgery.data.pipeline.splits import DataSplits

_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    folders=("FashionMNIST/raw", "fashion-mnist/raw", "FashionMNIST", "fashion-mnist"),
    remotes=(
        Remote(
            url=f"{_ADDRESS}/train-images-idx3-ubyte.gz", size=26_421_880, digest="8d4fb7e6c68d591d4c3dfef9ec88bf0d"
        ),
        Remote(url=f"{_ADDRESS}/train-labels-idx1-ubyte.gz", size=29_515, digest="25c81989df183df01b3e8a0aad5dffbe"),
        Remote(url=f"{_ADDRESS}/t10k-images-idx3-ubyte.gz", size=4_422_102, digest="bef4ecab320f06d8554ea6380940ec79"),
        Remote(url=f"{_ADDRESS}/t10k-labels-idx1-ubyte.gz", size=5_148, digest="bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    normalization=Normalization(mean=(0.2860,), std=(0.3530,)),
)


@dataclass(frozen=True, kw_only=True)
class FashionMnist(ImageOptions):
    """The four IDX files, plain or .gz; training images are not augmented by default."""

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return load_idx_set(_FASHION_MNIST, self, root, download=download, seed=seed)


MEMBER = FashionMnist
