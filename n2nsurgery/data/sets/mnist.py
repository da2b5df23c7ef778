"""Data set `mnist`: 60,000 training and 10,000 test images of digits, 28 x 28 (LeCun, Cortes, Burges 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.data.assembly.mnist import IdxSet, load_idx_set
from n2nsurgery.data.assembly.options import ImageOptions
from n2nsurgery.data.files.download import Remote
from n2nsurgery.data.pipeline.normalization import Normalization
from n2nsurgery.data.pipeline.splits import DataSplits

_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
_MNIST = IdxSet(
    name="mnist",
    folders=("MNIST/raw", "mnist/raw", "MNIST", "mnist"),
    remotes=(
        Remote(
            url=f"{_ADDRESS}/train-images-idx3-ubyte.gz",
            size=9_912_422,
            digest="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        Remote(
            url=f"{_ADDRESS}/train-labels-idx1-ubyte.gz",
            size=28_881,
            digest="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        Remote(
            url=f"{_ADDRESS}/t10k-images-idx3-ubyte.gz",
            size=1_648_877,
            digest="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        Remote(
            url=f"{_ADDRESS}/t10k-labels-idx1-ubyte.gz",
            size=4_542,
            digest="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    normalization=Normalization(mean=(0.1307,), std=(0.3081,)),
)


@dataclass(frozen=True, kw_only=True)
class Mnist(ImageOptions):
    """The four IDX files, plain or .gz; training images are not augmented by default."""

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return load_idx_set(_MNIST, self, root, download=download, seed=seed)


MEMBER = Mnist
