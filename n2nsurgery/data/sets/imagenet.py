"""Data set `imagenet`: ILSVRC 2012 in the usual folders; its 50,000 validation images are the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.data.image_splits import IMAGENET, LARGE, ImageLayout, image_splits
from n2nsurgery.data.location import data_root, first_present, missing
from n2nsurgery.data.options import Augment, ImageOptions, require_count
from n2nsurgery.data.splits import DataSplits

_PLACES = ("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC", "imagenet.tar")


@dataclass(frozen=True, kw_only=True)
class ImageNet(ImageOptions):
    """Folders train and val of synset folders (n01440764, ...); `classes` is below 1000 for its well-known subsets."""

    augment: Augment = "standard"
    size: int | None = LARGE
    classes: int = 1000

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_count("classes", self.classes)

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`. UsageError where a download would be needed: the publisher wants a name."""
        folder = data_root(root)
        path = first_present(folder, _PLACES)
        if path is None:
            asked = "--download cannot fetch it. " if download else ""
            advice = f"{asked}Register at image-net.org and lay it out as train|val/synset/image (val/n01440764/...)."
            raise missing("imagenet", folder, _PLACES, advice)
        layout = ImageLayout(normalization=IMAGENET, classes=self.classes)
        return image_splits(path, self, layout, seed=seed)


MEMBER = ImageNet
