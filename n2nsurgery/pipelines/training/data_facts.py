"""What is to be known of a data set before anything is trained on it: by other processes, and by the reader."""

from __future__ import annotations

from typing import Any

import torch

from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.training.metrics.digests import digest

_LISTED = 5


def facts_of(splits: DataSplits) -> dict[str, Any]:
    """Sizes, classes, and a digest of all targets and some samples of every split, by name."""
    facts: dict[str, Any] = {"data classes": splits.classes}
    for split in _present(splits):
        ends = torch.tensor([0, split.size - 1])
        samples, _ = split.batch(ends)
        facts[f"{split.name} samples"] = split.size
        facts[f"{split.name} content"] = digest({"targets": split.targets, "samples": samples})
    return facts


def missing_classes(splits: DataSplits) -> tuple[str, ...]:
    """A sentence for every split that lacks classes: what is measured there says nothing of them."""
    return tuple(sentence for split in _present(splits) if (sentence := _sentence(split, splits.classes)) is not None)


def _sentence(split: Split, classes: int) -> str | None:
    if split.targets.is_floating_point() or split.targets.ndim != 1:
        return None  # they are not classes
    labels = split.targets[split.targets >= 0]  # a negative one may be left out of the loss
    missing = (torch.bincount(labels, minlength=classes) == 0).nonzero().flatten().tolist()
    if not missing:
        return None
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    listed = ", ".join(map(str, missing[:_LISTED]))
    return f"the {split.name} split has no sample of {len(missing)} of {classes} classes: {listed}{more}"


def _present(splits: DataSplits) -> tuple[Split, ...]:
    return tuple(split for split in (splits.train, splits.validation, splits.test) if split is not None)
