"""SurgeryRecord: what was done, as a value; together with the plan and the tensors it rebuilds the model."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.version import __version__
from n2nsurgery.graph.layers.layer_graph import Rejection


@dataclass(frozen=True, kw_only=True)
class KeptCount:
    """`kept` of `numel` weights of the parameter `name`; `silent` of its `channels` output channels have none."""

    name: str
    kept: int
    numel: int
    channels: int
    silent: int


@dataclass(frozen=True, kw_only=True)
class SurgeryRecord:
    """What was achieved.

    `plan`: fingerprint of the plan. `masks`: fingerprint of all masks. `kept`: for every masked parameter, skips
    included. `data`: where the batches of a data-driven criterion came from. `versions`: of the packages in use, for
    information, and where a criterion or skip kind from outside came from. `leaves`: modules that stayed opaque to the
    tracer, as source, with the reason. `warnings`: of the plan, and those that only the masks show.
    """

    plan: str
    masks: str
    kept: tuple[KeptCount, ...]
    data: str | None
    versions: tuple[tuple[str, str], ...]
    leaves: tuple[Rejection, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str = "record.json") -> SurgeryRecord:  # noqa: ANN401 - any JSON value
        """The record that `to_json` gave; InvalidFileError for anything unknown, missing or of another type."""
        return decode(cls, value, where)


def versions_in_use() -> tuple[tuple[str, str], ...]:
    """The packages that decide what a network computes, each with its version here."""
    torch_version, numpy_version = str(torch.__version__), str(np.__version__)
    python = platform.python_version()
    return (("n2nsurgery", __version__), ("torch", torch_version), ("numpy", numpy_version), ("python", python))
