"""DataConfig: which data set is wanted, where it lies, and how its batches are made; the data section of a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.mixing import Mixing, mix
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.data.registry import DataSet
from n2nsurgery.data.torch_data.factory_data import FactoryData


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """Mixup or CutMix of training batches, with lambda from Beta(alpha, alpha); raises UsageError unless alpha > 0."""

    kind: Mixing = field(metadata=option("how two samples become one"))
    alpha: float = field(default=1.0, metadata=option("of the Beta distribution of lambda", within=Range(above=0)))

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data set `name`, made with `options`, from files below `root` (None: see `location.data_root`).

    The name is that of a registered set, or `package.module:factory`, whose options are FactoryData.

    `workers`: threads that prepare batches ahead; they change nothing of what is in them. `mixing`: None for none.
    """

    name: str
    options: DataSet | FactoryData
    root: Path | None = field(
        default=None, metadata=option("the folder of data sets; default: $N2NSURGERY_DATA", metavar="DIR")
    )
    workers: int = field(default=0, metadata=option("threads that prepare batches ahead", within=Range(least=0)))
    mixing: MixingConfig | None = field(default=None, metadata=option("blend the samples of training batches"))

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        check_options(self)

    @property
    def own_options(self) -> dict[str, Any]:
        """The options of the data set itself, by name."""
        return dict(self.options.options) if isinstance(self.options, FactoryData) else asdict(self.options)

    def require_allowed(self, *, allow_import: bool) -> None:
        """Return where the data is not code of a user's own, or that may be run; raises UsageError."""
        if isinstance(self.options, FactoryData) and not allow_import:
            raise UsageError(
                f"'{self.name}' is code, which is imported and run; allow it with --allow-import", field="data.name"
            )

    def load(self, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return self.options.load(self.root, download=download, seed=seed)

    def mixed(self, inputs: Tensor, targets: Tensor, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A training batch as `mixing` asks for it, see `mixing.mix`."""
        if self.mixing is None:
            return inputs, targets
        return mix(inputs, targets, classes, self.mixing.kind, self.mixing.alpha, generator)
