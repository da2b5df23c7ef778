"""Options which several data sets share, and their ranges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from n2nsurgery.core.config.options import option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require_choice
from n2nsurgery.data.pipeline.augmentation import Augmentation

Augment = Literal["none", "standard", "randaugment", "trivialaugment"]
LARGEST_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is taken, by `seed`.

    `validation` of the training samples aside, `train_limit` of the rest, `test_limit` of the test samples.
    """

    seed: int
    train_limit: int | None = None
    validation: float | None = None
    test_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """`train_limit` and `test_limit` keep so many samples, equally many of each class as far as they reach."""

    train_limit: int | None = field(
        default=None, metadata=option("training samples that are kept, as many of each class")
    )
    test_limit: int | None = field(default=None, metadata=option("test samples that are kept, as many of each class"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        require_count("train_limit", self.train_limit)
        require_count("test_limit", self.test_limit)

    def selection(self, seed: int) -> Selection:
        """These options as a choice of samples by `seed`."""
        return Selection(seed=seed, train_limit=self.train_limit, test_limit=self.test_limit)


@dataclass(frozen=True, kw_only=True)
class SplitOptions(LimitOptions):
    """`validation` moves samples from training to validation: a fraction below 1, or a count from 1 on."""

    validation: float | None = field(
        default=None, metadata=option("set aside of the training samples: a fraction or a number")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        share = self.validation
        if share is not None and not (0 < share < 1 or (share >= 1 and share == int(share))):
            raise UsageError(f"validation = {share}: give a fraction between 0 and 1 or a whole number of samples")

    def selection(self, seed: int) -> Selection:
        """These options as a choice of samples by `seed`."""
        return replace(super().selection(seed), validation=self.validation)


@dataclass(frozen=True, kw_only=True)
class ImageOptions(SplitOptions):
    """`size` is the height and width of an image in pixels, `augment` what training images go through.

    `standard`: a random crop and mirror; `randaugment` and `trivialaugment` change the image after that, see
    `pipeline.augmentation`. `random_erasing`: the chance that a rectangle of a training image is erased.

    With `normalize`, each channel has mean 0 and deviation 1 over the training set; without, values are in [0, 1].
    """

    normalize: bool = field(default=True, metadata=option("mean 0 and deviation 1 over the training set"))
    augment: Augment = field(default="none", metadata=option("what training images go through"))
    random_erasing: float = field(default=0.0, metadata=option("chance that a rectangle of a training image is erased"))
    size: int | None = field(default=None, metadata=option("height and width in pixels; default: as they are"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_choice("augment", self.augment, get_args(Augment))
        erasing = self.random_erasing
        if not 0 <= erasing <= 1 or (erasing and self.augment == "none"):
            raise UsageError(f"random_erasing = {erasing}: it must be from 0 to 1, and 0 where augment is none")
        require_count("size", self.size, LARGEST_SIZE)

    @property
    def augmentation(self) -> Augmentation:
        """What comes after crop and mirror."""
        policy = self.augment if self.augment in {"randaugment", "trivialaugment"} else "none"
        return Augmentation(policy=policy, erasing=self.random_erasing)


def require_count(name: str, value: int | None, most: int | None = None) -> None:
    """Return where `value` is None or from 1 to `most`; raises UsageError."""
    if value is not None and not 1 <= value <= (value if most is None else most):
        limit = "at least 1" if most is None else f"between 1 and {most}"
        raise UsageError(f"is {value}; it must be {limit}", field=name, joint=" ")
