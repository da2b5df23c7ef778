"""Data set `imagenet`: ILSVRC 2012 in the usual folders, or in the archives in which it is published.

Its 50,000 validation images are the test split.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.options import option
from n2nsurgery.data.assembly.image_splits import IMAGENET, LARGE, ImageLayout, image_splits, images_at
from n2nsurgery.data.assembly.options import Augment, ImageOptions, require_count
from n2nsurgery.data.files.ilsvrc import DEVKIT, TRAIN, VALIDATION, has_archives, official_images
from n2nsurgery.data.files.location import data_root, first_present, missing
from n2nsurgery.data.pipeline.splits import DataSplits

_PLACES = ("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC", "imagenet.tar")


@dataclass(frozen=True, kw_only=True)
class ImageNet(ImageOptions):
    """Folders train and val of synset folders (n01440764, ...), or the official archives, which are read in place.

    `classes` is below 1000 for its well-known subsets.
    """

    augment: Augment = field(default="standard", metadata=option("what training images go through"))
    size: int | None = field(default=LARGE, metadata=option("height and width of an image in pixels"))
    classes: int = field(default=1000, metadata=option("number of classes; fewer for its subsets"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_count("classes", self.classes)

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`. UsageError where a download would be needed: the publisher wants a name."""
        folder = data_root(root)
        path = first_present(folder, _PLACES) or folder
        if path == folder and not has_archives(folder):
            asked = "--download cannot fetch it. " if download else ""
            advice = (
                f"{asked}Register at image-net.org and put {VALIDATION} and {DEVKIT} beside {TRAIN}, as they are, or "
                "lay it out as train|val/synset/image (val/n01440764/...)."
            )
            raise missing("imagenet", folder, (*_PLACES, TRAIN), advice)
        files = official_images(path) if has_archives(path) else images_at(path)
        layout = ImageLayout(normalization=IMAGENET, classes=self.classes)
        return image_splits(files, self, layout, seed=seed)


MEMBER = ImageNet
