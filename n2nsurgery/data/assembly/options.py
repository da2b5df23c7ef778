"""Options which several data sets share, and their ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import require_choice

Augment = Literal["none", "standard"]
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

    train_limit: int | None = None
    test_limit: int | None = None

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

    validation: float | None = None

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

    With `normalize`, each channel has mean 0 and deviation 1 over the training set; without, values are in [0, 1].
    """

    normalize: bool = True
    augment: Augment = "none"
    size: int | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_choice("augment", self.augment, get_args(Augment))
        require_count("size", self.size, LARGEST_SIZE)


def require_count(name: str, value: int | None, most: int | None = None) -> None:
    """Return where `value` is None or from 1 to `most`; raises UsageError."""
    if value is not None and not 1 <= value <= (value if most is None else most):
        limit = "at least 1" if most is None else f"between 1 and {most}"
        raise UsageError(f"is {value}; it must be {limit}", field=name, joint=" ")
