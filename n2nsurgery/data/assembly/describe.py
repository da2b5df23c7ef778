"""What was loaded, in sentences: where it was found, how it was split, what is done to it."""

from __future__ import annotations

from n2nsurgery.data.assembly.options import Selection
from n2nsurgery.data.pipeline.augmentation import Augmentation
from n2nsurgery.data.pipeline.splits import DataSplits, Split


def describe(splits: DataSplits) -> str:
    """The description of `splits` as lines of text."""
    return "\n".join(splits.description)


def sizes(train: Split, validation: Split | None, test: Split) -> str:
    """The sentence of the splits' sizes and of the shape of a sample."""
    held_out = f"{validation.size:,} validation" if validation else "no validation"
    shape = " x ".join(map(str, train.shape))
    return (
        f"{train.size:,} training, {held_out} and {test.size:,} test samples of shape {shape}, {train.classes} classes"
    )


def selection(chosen: Selection) -> tuple[str, ...]:
    """The sentence of what was taken from the samples, or none where nothing was."""
    share, limits = chosen.validation, {"training": chosen.train_limit, "test": chosen.test_limit}
    taken = (
        [] if share is None else [f"validation samples were taken from the training samples (validation = {share:g})"]
    )
    cut = [
        f"{split} is limited to {limit:,} samples, equally many of each class"
        for split, limit in limits.items()
        if limit is not None
    ]
    sentences = [*taken, *cut]
    return (f"{' and '.join(sentences)}, by seed {chosen.seed}",) if sentences else ()


def small_images(padding: int, augmentation: Augmentation) -> tuple[str, ...]:
    """The sentences of the augmentation of small images."""
    standard = f"training images are padded by {padding} zeros, cropped at random and mirrored by chance"
    return (standard, *augmentation.sentence())


def large_images(size: int, augmentation: Augmentation) -> tuple[str, ...]:
    """The sentences of the augmentation of large images, which evaluation does without."""
    standard = f"training images are random windows of 8 to 100 % of the area, resized to {size} and mirrored by chance"
    return (standard, *augmentation.sentence())


def centre(size: int) -> str:
    """The sentence of what evaluation makes of large images."""
    return f"evaluation resizes the shorter side to {size * 256 // 224} and takes the centre of {size} x {size}"
