"""Data set `imagefolder`: images of your own, in a folder or in a .tar, .tar.gz or .tgz archive.

Laid out as train|val|test/class/image, or as class/image, of which a part drawn from the seed becomes the test split.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.options import option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.assembly.image_splits import ImageLayout, image_splits, images_at
from n2nsurgery.data.assembly.options import Augment, ImageOptions
from n2nsurgery.data.files.location import data_root, located, missing
from n2nsurgery.data.pipeline.splits import DataSplits


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageOptions):
    """`path` is the folder or archive, below the data folder or the current one; without it, the data folder itself.

    Images of up to 64 pixels are decoded once, held, and normalized by what is measured on the training images. Larger
    ones are decoded when they are read and normalized as ImageNet. Without `size`, small images stay as they are and
    large ones get 224. `test` is the part that becomes the test split where the images have no splits.
    """

    augment: Augment = field(default="standard", metadata=option("what training images go through"))
    path: str | None = field(
        default=None,
        metadata=option("a folder or archive, below the data folder or the current one; default: the data folder"),
    )
    test: float = field(default=0.2, metadata=option("part that is tested on where there are no splits"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        if not 0 < self.test < 1:
            raise UsageError(f"test = {self.test}: it must be between 0 and 1")

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:  # noqa: ARG002 - nothing to fetch
        """The splits; see `DataSet.load`."""
        folder = data_root(root)
        path = folder if self.path is None else located(self.path, folder)
        if path is None or not path.exists():
            advice = "It cannot be downloaded: lay images out as train|val|test/class/image or class/image."
            raise missing("imagefolder", folder, (self.path or ".",), advice, here=self.path is not None)
        return image_splits(images_at(path), self, ImageLayout(test_share=self.test), seed=seed)


MEMBER = ImageFolder
